"""Differentiable augmentation of all pictures that D sees, drawn anew in each step.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS), section 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

Name = Literal["translation", "cutout", "colour"]

Augment = Callable[[Tensor], Tensor]
"""A change of pictures before D sees them: an `Augmentation`, or `unchanged`."""

MOST_SHIFT, CUTOUT_SIDE = 1 / 8, 1 / 5
"""Largest translation and side of the square that is cut out, in sides of the picture.

The paper cuts out squares of half a side; a fifth, and shifts that repeat the edge instead of adding black, leave a
small drawing on a plain background recognisable to a frozen network.
"""
NUM_DRAWS = 7  # numbers per picture, whatever the names are, so that one option does not change another's draws


@dataclass(frozen=True)
class Augmentation:
    """One random transform per picture, the same for every batch it is called with.

    `draws` are uniform in [0, 1), `NUM_DRAWS` per picture. Translation moves by up to an eighth of the side and repeats
    the edge; cutout makes a square of a fifth of the side grey; colour changes brightness, saturation and contrast.
    Pictures of another size are transformed in the same way, up to one pixel. Differentiable, also twice.
    """

    names: tuple[Name, ...]
    draws: Float[Tensor, "b 7"]

    def __call__(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The pictures in [-1, 1], transformed. Colour can leave the range, as in the paper."""
        draws = self.draws.to(image.device, image.dtype)
        if "colour" in self.names:
            image = _recoloured(image, *draws[:, :3].T)
        if "translation" in self.names:
            image = _translated(image, *draws[:, 3:5].T)
        if "cutout" in self.names:
            image = _cut_out(image, *draws[:, 5:7].T)
        return image


def check(names: Sequence[str]) -> None:
    """Refuses an augmentation that does not exist.

    Raises:
        ValueError: says which names there are.
    """
    if unknown := [name for name in names if name not in get_args(Name)]:
        raise ValueError(f"training.augment names {unknown}; there are {', '.join(get_args(Name))}, or none at all")


def unchanged(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """No augmentation."""
    return image


def _recoloured(image: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Brightness shifted by -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5 (the paper's ranges)."""
    image = image + (brightness - 0.5)[:, None, None, None]
    grey = image.mean(1, keepdim=True)
    image = torch.lerp(grey.expand_as(image), image, 2 * saturation[:, None, None, None])
    mean = image.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean.expand_as(image), image, (contrast + 0.5)[:, None, None, None])


def _translated(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Row i of the result is row i - shift, held within the picture: the edge repeats."""
    batch, channels, height, width = image.shape
    from_rows = _sources(height, down)[:, None, :, None].expand(batch, channels, height, width)
    from_columns = _sources(width, right)[:, None, None, :].expand(batch, channels, height, width)
    return image.gather(2, from_rows).gather(3, from_columns)


def _sources(size: int, draws: Tensor) -> Tensor:
    shift = ((2 * draws - 1) * size * MOST_SHIFT).round().long()  # [b]
    return (torch.arange(size, device=draws.device) - shift[:, None]).clamp(0, size - 1)


def _cut_out(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Sets a square to 0, the middle of the range; its centre is anywhere in the picture."""
    rows, columns = _within(image.shape[2], down), _within(image.shape[3], right)
    return image.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _within(size: int, draws: Tensor) -> Tensor:
    side = max(1, round(size * CUTOUT_SIDE))
    start = (draws * size).long() - side // 2  # [b]
    place = torch.arange(size, device=draws.device) - start[:, None]
    return (place >= 0) & (place < side)
