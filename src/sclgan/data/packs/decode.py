"""Pictures for training out of the bytes of files, as fast as the machine can.

JPEG goes through simplejpeg where it is installed, the optional extra `fast`. It and Pillow use libjpeg-turbo with its
exact transform and interpolated chroma, so that the pixels are the same.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from sclgan.data.sets.photographs import corner, cropped, decoded_bytes, flipped, framed, margin

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

_MAX_PIXELS = 2**26  # a file of a few bytes can claim to hold billions; Pillow has its own limit
_START, _END = b"\xff\xd8", b"\xff\xd9"
_SEQUENTIAL = (0xC0, 0xC1)  # frames whose rows come one after the other


def training_pixels(
    content: bytearray, size: int, draws: Sequence[float] | None, *, name: str
) -> UInt8[np.ndarray, "size size 3"]:
    """What `photos.framed` makes of a picture file; fast where the shorter side is `margin(size)` already.

    Raises:
        ValueError: the file is damaged or no picture; the message names it.
    """
    jpeg = open_jpeg(content)
    if jpeg is not None and min(jpeg.height, jpeg.width) == margin(size):
        top, left = corner(jpeg.height, jpeg.width, size, draws)
        rows = jpeg.pixels(top + size)
        if rows is not None:
            return cropped(rows, size, (top, left), flipped(draws))
    return framed(decoded_bytes(bytes(content), name=name), size, draws)


class Jpeg:
    """A JPEG file whose upper rows can be decoded alone; `open_jpeg` makes it."""

    def __init__(self, content: bytearray, frame: int) -> None:
        self._content, self._frame = content, frame
        self.height = int.from_bytes(content[frame + 5 : frame + 7])
        self.width = int.from_bytes(content[frame + 7 : frame + 9])

    def pixels(self, num_rows: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """At least the first `num_rows` rows in RGB, or None where the file is damaged.

        What libjpeg-turbo only warns of is no damage, as with Pillow.
        """
        # The decoder stops where the header says that the picture ends. Two rows more are decoded, as the chroma of a
        # row is interpolated with the next, and the last block of rows whole: 16 is the usual height, others divide it.
        height = min(self.height, -(-(num_rows + 2) // 16) * 16)
        self._content[self._frame + 5 : self._frame + 7] = height.to_bytes(2)
        try:
            pixels: np.ndarray = simplejpeg.decode_jpeg(self._content, strict=False)
            return pixels
        except ValueError:
            return None
        finally:
            self._content[self._frame + 5 : self._frame + 7] = self.height.to_bytes(2)


def open_jpeg(content: bytearray) -> Jpeg | None:
    """The file, or None where it is better left to Pillow: no JPEG, progressive, cut off, huge; or no simplejpeg."""
    if simplejpeg is None or not content.startswith(_START) or not content.endswith(_END):
        return None
    place = 2
    while place + 10 < len(content) and content[place] == 0xFF:
        if content[place + 1] in _SEQUENTIAL:
            jpeg = Jpeg(content, place)
            colors = content[place + 9]
            return jpeg if colors in (1, 3) and 0 < jpeg.height * jpeg.width <= _MAX_PIXELS else None
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return None
