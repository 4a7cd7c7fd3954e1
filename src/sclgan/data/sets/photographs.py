"""What the data sets of photographs share: decoding, the crop and flip of training, captions, missing files.

The transform is that of AttnGAN's, DM-GAN's and SSA-GAN's codes (Xu et al. 2018; Zhu et al. 2019; Liao et al. 2022).
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from sclgan.data.captions import words_of
from sclgan.data.types import Picture, Sample


@dataclass(frozen=True)
class Photo:
    """One row: a file with what is true of it. `box` is its bounding box (left, top, width, height), or None."""

    path: Path
    captions: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None

    def picture(self, size: int, rng: np.random.Generator, *, augment: bool) -> Picture:
        """The photograph as `size` x `size` pixels with one of its captions, each as likely.

        The caption does not depend on `size` or `augment`, and always four numbers are drawn: what is drawn after it
        from `rng` does not depend on them either.
        """
        caption, *draws = rng.random(4).tolist()
        pixels = framed(decoded(self.path, self.box), size, draws if augment else None)
        return Picture(pixels, self.captions[int(caption * len(self.captions))])

    def sample(self, labels: tuple[int, ...], split: str, key: str) -> Sample:
        """The file as it is, for packing."""
        return Sample(self.path.read_bytes(), self.captions, labels, split, key, self.box)


def decoded(path: Path, box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """A picture file in RGB; with a bounding box, what `around` leaves of it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is truncated or no picture, or the box lies outside; the message names the file.
    """
    return decoded_bytes(path.read_bytes(), box, name=str(path))


def decoded_bytes(content: bytes, box: tuple[int, int, int, int] | None = None, *, name: str) -> Image.Image:
    """The content of a picture file in RGB; with a bounding box, what `around` leaves of it.

    Its EXIF orientation is ignored, as in the reference codes: boxes are given in stored pixels.

    Raises:
        ValueError: it is truncated, no picture or too large for Pillow, or the box lies outside; the message names it.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            image = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises for damage
        raise ValueError(f"{name} is truncated or no picture ({error}): unpack its archive again") from error
    if box is None:
        return image
    crop = around(box, image.width, image.height)
    if crop[0] >= crop[2] or crop[1] >= crop[3]:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels, and its bounding box {box} lies outside")
    return image.crop(crop)


def around(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The square about a bounding box (left, top, width, height), clipped to the picture: left, top, right, bottom.

    r = int(0.75 max(w, h)), half of 1.5 times the longer side
    centre = int((2 left + w) / 2), int((2 top + h) / 2)

    What the picture clips is no square any more.
    """
    left, top, w, h = box
    r = int(0.75 * max(w, h))
    x, y = int((2 * left + w) / 2), int((2 * top + h) / 2)
    return max(0, x - r), max(0, y - r), min(width, x + r), min(height, y + r)


def framed(image: Image.Image, size: int, draws: Sequence[float] | None) -> UInt8[np.ndarray, "size size 3"]:
    """A crop of `size` x `size` from the picture with its shorter side resized to `margin(size)`, antialiased.

    `draws` are three numbers in [0, 1): flip below 0.5, and the crop's place across and down. None is the crop in the
    middle, not flipped.

    Raises:
        ValueError: `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"size is {size}; a picture has at least 1 pixel")
    # Resized whole and then cropped: a crop on whole pixels is the reference's, a box between pixels is not.
    image = resized(image, margin(size))
    return cropped(np.array(image), size, corner(image.height, image.width, size, draws), flipped(draws))


def margin(size: int) -> int:
    """The shorter side from which training crops `size` pixels: int(size * 76 / 64)."""
    return int(size * 76 / 64)


def resized(image: Image.Image, shorter: int) -> Image.Image:
    """The picture with its shorter side resized to `shorter`, antialiased."""
    width, height = image.size
    if width < height:
        width, height = shorter, int(shorter * height / width)
    else:
        width, height = int(shorter * width / height), shorter
    return image.resize((width, height), Image.Resampling.BILINEAR)


def corner(height: int, width: int, size: int, draws: Sequence[float] | None) -> tuple[int, int]:
    """Top and left of the crop that `framed` draws in a picture that has its shorter side."""
    across, down = draws[1:] if draws is not None else (0.5, 0.5)
    return int(down * (height - size + 1)), int(across * (width - size + 1))


def flipped(draws: Sequence[float] | None) -> bool:
    """Whether `framed` flips."""
    return draws is not None and draws[0] < 0.5


def cropped(
    pixels: UInt8[np.ndarray, "h w 3"], size: int, corner: tuple[int, int], flip: bool
) -> UInt8[np.ndarray, "size size 3"]:
    """The crop below and right of `corner`, flipped or not. It may share the memory of `pixels`."""
    top, left = corner
    pixels = pixels[top : top + size, left : left + size]
    if flip:
        # Torch reverses pixels of three bytes many times as fast as NumPy does.
        pixels = torch.from_numpy(pixels).flip(1).numpy()
    return pixels


def usable(captions: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """The captions that hold a word, without space around them, and how many hold none."""
    found = [caption.strip() for caption in captions]
    kept = tuple(caption for caption in found if words_of(caption))
    return kept, len(found) - len(kept)


def require(name: str, paths: Sequence[Path], what_to_do: str) -> None:
    """Checks that files and folders of the data set `name` are there.

    Their folders are listed once each: asking for every file is slow on a network.

    Raises:
        FileNotFoundError: some are not; the message counts and names them and goes on with `what_to_do`.
    """
    listed: dict[Path, set[str]] = {}
    absent = []
    for path in paths:
        if path.parent not in listed:
            listed[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in listed[path.parent]:
            absent.append(path)
    if absent:
        names = ", ".join(str(path) for path in absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise FileNotFoundError(f"{name} lacks {len(absent)} of {len(paths)} files: {names}; {what_to_do}")
