"""Does the picture stand on the ground that its caption names? A metric of the emoji source alone.

Our own: the compositions of the emoji source have a plain background of known colour, so a part of the caption can be
checked in the pixels without a network.
"""

from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.data.sets.backgrounds import GROUNDS, ground_of, named_ground
from sclgan.metrics.proportion import proportion
from sclgan.metrics.statistics import Estimate

CHANCE = 1 / len(GROUNDS)


class GroundAccuracy:
    """The share of pictures whose ground, read from the pixels, is the one that the caption names.

    Captions that name none are not counted. A ground at random is right with probability `CHANCE`.
    """

    def __init__(self) -> None:
        self._num_right = 0
        self._num_counted = 0

    def update(self, images: UInt8[Tensor, "b 3 h w"], captions: Sequence[str]) -> None:
        """Adds pictures and the captions they were drawn or generated for."""
        for pixels, caption in zip(images.permute(0, 2, 3, 1).cpu().numpy(), captions, strict=True):
            named = named_ground(caption)
            if named is not None:
                self._num_counted += 1
                self._num_right += ground_of(pixels) == named

    def over_ranks(self) -> "GroundAccuracy":
        """The accuracy over every rank's pictures, the same on every rank; this one stays as it is."""
        whole = GroundAccuracy()
        parts = distributed.gather_objects((self._num_right, self._num_counted))
        whole._num_right, whole._num_counted = (sum(column) for column in zip(*parts, strict=True))
        return whole

    def estimate(self) -> Estimate:
        """The share, with the interval of a proportion.

        Raises:
            ValueError: no caption names a ground.
        """
        n = self._num_counted
        if n == 0:
            raise ValueError("no caption names a ground: this metric is for the emoji source only")
        return proportion(self._num_right, n, "pictures")
