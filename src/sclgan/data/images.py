"""Picture files to 8-bit RGB as a viewer shows them: one decoder for training, packs, evaluation and contact sheets.

A picture file is a stranger's: it must be a regular file, its format one of `FORMATS`, and its header must not claim
more than `max_pixels()` pixels, which is checked before a pixel is decoded.
"""

import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image, ImageCms

from sclgan.data.printable import printable

log = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
"""Pillow's names. It reads others too: EPS by running another program, TGA without a sign that a file is one."""
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".qoi"),
)
"""Endings of the files that count as pictures, the frequent ones first."""
MAX_PIXELS = 2**26
VARIABLE = "SCLGAN_MAX_PIXELS"

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_reading: ContextVar[str] = ContextVar("reading", default="")  # the file that is being decoded
_SAME = 2  # levels of 255: profiles that move no colour by more are sRGB under another name


def decode(file: Path | bytes, *, name: str | None = None, as_stored: bool = False) -> Image.Image:
    """A picture file, or the content of one, in 8-bit RGB as a viewer shows it; of an animation the first picture.

    It is turned as its EXIF orientation says and converted to sRGB by its colour profile; transparent parts (also those
    of a palette or a key colour) become white, and 16 bits per channel are scaled to 8. Metadata that cannot be read
    are ignored, as by viewers.

    `as_stored` neither turns it nor applies the profile. The reference codes read the published data sets in this way,
    and their bounding boxes are in stored pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not a picture, has too many pixels, or pixels of a kind whose white is unknown; the
            message names it.
    """
    with _opened(file, name) as image:
        shown = _in_colour(image)
        if not as_stored:
            shown = _in_srgb(shown, image.info.get("icc_profile"))
        shown = _on_white(shown)
        if not as_stored and (turn := _TURNS.get(_orientation(image))) is not None:
            shown = shown.transpose(turn)
        shown.info = {}  # or what is saved again would be converted again
        return shown


def size_of(file: Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Width and height in stored pixels, from the header alone.

    Raises:
        FileNotFoundError, ValueError: as `decode`.
    """
    with _opened(file, name) as image:
        return image.size


def read_content(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a regular file, such as a pipe, which may never end.
    """
    _check_regular(path, str(path))
    return path.read_bytes()


def is_shown_as_stored(content: bytes, *, name: str) -> bool:
    """Whether the content of a picture file has neither an orientation nor a profile that `decode` obeys."""
    with _opened(content, name) as image:
        return not image.info.get("icc_profile") and _orientation(image) not in _TURNS


def max_pixels() -> int:
    """The largest number of pixels that a picture may have: 2^26, or what the variable SCLGAN_MAX_PIXELS says.

    Raises:
        ValueError: the variable is not a whole number above 0.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return MAX_PIXELS
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{VARIABLE} is {given!r}: expected the largest number of pixels to read, such as 67108864")
    return int(given)


def name_warnings() -> None:
    """From now on Pillow's warnings, which do not say which file they are about, are logged with its name, each once.

    For a program, not a library: it changes Python's filter of warnings and how they are shown.
    """
    warnings.filterwarnings("always", module=r"PIL\.")
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not (name := _reading.get()):
            before(message, category, filename, lineno, file, line)
        elif category is not Image.DecompressionBombWarning:  # sizes are checked here
            _log_once(name, str(message))

    warnings.showwarning = show


@lru_cache(maxsize=2**16)
def _log_once(name: str, message: str) -> None:
    log.warning("%s: %s", printable(name), printable(" ".join(message.split())))


@contextmanager
def _opened(file: Path | bytes, name: str | None) -> Iterator[Image.Image]:
    """The picture with its header read and checked; errors of its decoder become a ValueError with its name."""
    name = name or (str(file) if isinstance(file, Path) else "a picture")
    limit = max_pixels()
    if isinstance(file, Path):
        _check_regular(file, name)
    before = _reading.set(name)
    if limit > (Image.MAX_IMAGE_PIXELS or limit):
        Image.MAX_IMAGE_PIXELS = limit  # the user asked for it
    try:
        with Image.open(file if isinstance(file, Path) else io.BytesIO(file), formats=FORMATS) as image:
            if image.width * image.height > limit:
                raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,} pixels")
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{name} is too large ({error}): at most {limit:,} pixels are read; reduce it, or set {VARIABLE}"
        ) from error
    except _UnknownLevelsError as error:
        raise ValueError(f"{name} has pixels of {error}: save it with 8 or 16 bits per channel") from None
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Pillow promises no kind: damaged files end in almost any
        raise ValueError(
            f"{name} is truncated or not a picture ({error or type(error).__name__}): replace it, or leave it out"
        ) from error
    finally:
        _reading.reset(before)


def _check_regular(path: Path, name: str) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{name} is not a regular file: a pipe, a device or a folder cannot be read as a picture")


class _UnknownLevelsError(Exception):
    """The kind of pixels."""


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the block is damaged."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as many kinds as damages
        return 1
    return orientation if isinstance(orientation, int) else 1


def _in_colour(image: Image.Image) -> Image.Image:
    """The pixels as L, RGB, CMYK or RGBA of 8 bits per channel; loads them."""
    tiles = getattr(image, "tile", None)  # of image files alone
    raw = str(tiles[0].args) if tiles else ""
    image.load()
    key = image.info.get("transparency")
    if image.mode in _GREY_16 or (image.mode == "I" and image.format == "PPM"):  # Pillow scales PPM's to 16 bits
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        if isinstance(key, int):
            grey[values == key] = 255
        return Image.fromarray(grey)
    if image.mode in ("I", "F"):
        kind = "whole numbers" if image.mode == "I" else "fractions"
        raise _UnknownLevelsError(f"32 bits, {kind} that do not say which of them is white")
    if key is not None and image.mode in ("L", "RGB"):
        image.info["transparency"] = _scaled_key(key, raw)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _scaled_key(key: int | tuple[int, ...] | bytes, raw: str) -> int | tuple[int, ...] | bytes:
    """The key colour of a PNG in the levels to which Pillow scales its pixels; `raw` says how they are stored."""
    if isinstance(key, int):
        return key * (85 if "L;2" in raw else 17 if "L;4" in raw else 1)
    return tuple(level >> 8 for level in key) if isinstance(key, tuple) and "16B" in raw else key


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with its colours converted by the profile, where it has one for its kind of pixels."""
    conversion = None
    if profile:
        for mode in (image.mode, "RGB") if image.mode == "L" else (image.mode,):  # grey pictures often carry sRGB's
            conversion = conversion or _conversion(profile, mode)
    if conversion is None:
        return image
    if conversion.input_mode != image.mode:
        image = image.convert(conversion.input_mode)
    converted = conversion.apply(image)
    assert converted is not None
    return converted


_SPACES = {"L": "GRAY", "RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK"}


@lru_cache(maxsize=32)
def _conversion(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """How to convert pixels of this mode to sRGB; None where the profile is for others, damaged, or sRGB itself."""
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space != _SPACES[mode]:
            return None
        target = "RGBA" if mode == "RGBA" else "RGB"
        conversion = ImageCms.ImageCmsTransform(given, _SRGB, mode, target)
    except (OSError, ImageCms.PyCMSError, TypeError, ValueError):
        return None
    if mode in ("RGB", "RGBA"):
        levels = np.linspace(0, 255, 9).round().astype(np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        probe = Image.fromarray(colours).convert(mode)
        shown = conversion.apply(probe)
        assert shown is not None
        if np.abs(np.asarray(shown).astype(int) - np.asarray(probe)).max() <= _SAME:
            return None
    return conversion
