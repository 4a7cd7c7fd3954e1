"""Fast decoding of the bytes of picture files for training.

JPEG is decoded by simplejpeg if it is installed (the extra `fast`). It and Pillow use libjpeg-turbo with its exact
transform and interpolated chroma, so that the pixels are the same.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from sclgan.data.images import max_pixels
from sclgan.data.sets.photographs import corner, cropped, decoded, flipped, framed, margin

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SEQUENTIAL = (0xC0, 0xC1)  # frames whose rows come one after the other
_SCAN = 0xDA
_METADATA = (b"Exif\0", b"http://ns.adobe.com/xap/", b"ICC_PROFILE\0")
"""Metadata that may turn a picture or change its colours; `images.decode` reads it."""


def training_pixels(
    content: bytearray, size: int, draws: Sequence[float] | None, *, name: str
) -> UInt8[np.ndarray, "size size 3"]:
    """The result of `photographs.framed` for a picture file; fast if its shorter side is `margin(size)` already.

    Raises:
        ValueError: the file is damaged or not a picture; the message names it.
    """
    jpeg = open_jpeg(content)
    if jpeg is not None and min(jpeg.height, jpeg.width) == margin(size):
        top, left = corner(jpeg.height, jpeg.width, size, draws)
        rows = jpeg.pixels(top + size)
        if rows is not None:
            return cropped(rows, size, (top, left), flipped(draws))
    return framed(decoded(bytes(content), name=name), size, draws)


class Jpeg:
    """A JPEG file whose upper rows can be decoded alone; `open_jpeg` makes it."""

    def __init__(self, content: bytearray, frame: int) -> None:
        self._content, self._frame = content, frame
        self.height = int.from_bytes(content[frame + 5 : frame + 7])
        self.width = int.from_bytes(content[frame + 7 : frame + 9])

    def pixels(self, num_rows: int) -> UInt8[np.ndarray, "h w 3"] | None:
        """At least the first `num_rows` rows in RGB, or None where the file is damaged.

        Warnings of libjpeg-turbo do not count as damage, as with Pillow.
        """
        # The decoder stops at the height in the header. Two more rows are decoded, since the chroma of a row is
        # interpolated with the next, and the whole last block of rows: 16 is the usual height, others divide it.
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
    """The file, or None if Pillow should decode it: it is not a JPEG, progressive, cut off, huge, or has metadata that
    change what is shown; or simplejpeg is not installed.
    """
    if simplejpeg is None or not content.startswith(_START) or not content.endswith(_END):
        return None
    place, frame = 2, None
    while place + 10 < len(content) and content[place] == 0xFF and content[place + 1] != _SCAN:
        if content[place + 1] in _SEQUENTIAL:
            frame = place
        elif content.startswith(_METADATA, place + 4):
            return None
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    if frame is None or content[frame + 9] not in (1, 3):  # colours
        return None
    jpeg = Jpeg(content, frame)
    return jpeg if 0 < jpeg.height * jpeg.width <= max_pixels() else None
