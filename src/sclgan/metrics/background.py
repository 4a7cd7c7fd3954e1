"""The share of pictures with the background that the caption names: a metric for the emoji source alone.

Our own: the emoji source composes drawings on a plain background of known colour, so that a part of the caption can be
checked in the pixels without a network.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from sclgan.data.sets.backgrounds import BACKGROUNDS, background_of, named_background
from sclgan.metrics.estimate import Estimate
from sclgan.metrics.proportion import proportion

CHANCE = 1 / len(BACKGROUNDS)
"""The share of right backgrounds if they were drawn at random."""
NONE_NAMED = -1


def has_named_background(images: UInt8[Tensor, "b 3 h w"], captions: Sequence[str]) -> Int[Tensor, " b"]:
    """1 where the background, read from the pixels, is the one that the caption names, 0 where it is another.

    `NONE_NAMED` where the caption names none.
    """
    named = [named_background(caption) for caption in captions]
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    return torch.tensor(
        [NONE_NAMED if name is None else int(background_of(x) == name) for x, name in zip(pixels, named, strict=True)],
        dtype=torch.int8,
    )


def background_accuracy(is_right: Int[Tensor, " n"]) -> Estimate:
    """The share of 1 among the rows of `has_named_background`; captions that name no background are not counted.

    Raises:
        ValueError: no caption names a background.
    """
    counted = is_right[is_right != NONE_NAMED]
    if len(counted) == 0:
        raise ValueError("no caption names a background: this metric is for the emoji source only")
    return proportion(int(counted.sum()), len(counted), "pictures")
