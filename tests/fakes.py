"""Small stand-ins: a labelled source of coloured squares, and a backbone that averages pixels."""

import io
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from sclgan.data.types import Picture, Sample

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220), "white": (250, 250, 250)}


class Squares:
    """`per_label` squares of each colour, on a dark ground; the caption names the colour and the row."""

    name = "squares"
    composes = plain_backgrounds = False
    credits = ()

    def __init__(self, split: str = "train", *, per_label: int = 4, labelled: bool = True) -> None:
        self.split = split
        names = list(COLOURS)
        self.label_names: Sequence[str] = names if labelled else []
        self.labels: Sequence[tuple[int, ...]] = [
            (label,) if labelled else () for label in range(len(names)) for _ in range(per_label)
        ]
        self.keys: Sequence[str] = [
            f"{names[row // per_label]}_{row % per_label}" for row in range(len(names) * per_label)
        ]

    def __len__(self) -> int:
        return len(self.keys)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        colour, row = self.keys[index].split("_")
        pixels = np.full((size, size, 3), 20, dtype=np.uint8)
        shift = int(rng.integers(size // 4)) if augment else 0
        pixels[shift : shift + size // 2, shift : shift + size // 2] = COLOURS[colour]
        words = rng.permutation(["a", colour, "square", f"number{row}"])
        return Picture(pixels, " ".join(words))

    def captions(self) -> Iterable[str]:
        return [f"a {key.split('_')[0]} square number{key.split('_')[1]}" for key in self.keys]

    def sample(self, index: int) -> Sample:
        file = io.BytesIO()
        picture = self.picture(index, 64, np.random.default_rng(0), augment=False)
        Image.fromarray(picture.pixels).save(file, "PNG")
        caption = list(self.captions())[index]
        return Sample(file.getvalue(), (caption,), self.labels[index], self.split, self.keys[index])


class PixelBackbone(nn.Module):
    """An image in 4 x 4 averages, as regions and as one vector."""

    region_channels = 3
    pooled_channels = 48

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor]:
        regions = F.adaptive_avg_pool2d(image, 4)
        return regions, regions.flatten(1)


def unit_rows(num_rows: int, width: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(num_rows, width, generator=generator, dtype=dtype), dim=1)
