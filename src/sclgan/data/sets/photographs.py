"""Photographs of the data sets: decoding, the crop and flip of training, captions, missing files.

The transform is that of AttnGAN's, DM-GAN's and SSA-GAN's codes (Xu et al. 2018; Zhu et al. 2019; Liao et al. 2022).
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from sclgan.data import images
from sclgan.data.captions import words_of
from sclgan.data.types import Picture, Sample

_MAX_RESIZED = 2**24  # pixels; longer pictures are resized only where they are seen


@dataclass(frozen=True)
class Photo:
    """One row: a file with its captions.

    `box` is its bounding box (left, top, width, height) in stored pixels, or None. `as_stored` is that of
    `images.decode`: the published data sets are read as the reference codes read them.
    """

    path: Path
    captions: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None
    as_stored: bool = True

    def picture(self, size: int, rng: np.random.Generator, *, augment: bool) -> Picture:
        """The photograph as `size` x `size` pixels with one of its captions, each equally likely.

        The caption does not depend on `size` or `augment`, and four numbers are always drawn, so that what is drawn
        from `rng` afterwards does not depend on them either.
        """
        caption, *draws = rng.random(4).tolist()
        image = decoded(self.path, self.box, as_stored=self.as_stored)
        pixels = framed(image, size, draws if augment else None)
        return Picture(pixels, self.captions[int(caption * len(self.captions))])

    def sample(self, labels: tuple[int, ...], split: str, key: str) -> Sample:
        """The file as it is, for packing."""
        content = images.read_content(self.path)
        return Sample(content, self.captions, labels, split, key, self.box, self.as_stored)


def decoded(
    file: Path | bytes,
    box: tuple[int, int, int, int] | None = None,
    *,
    name: str | None = None,
    as_stored: bool = False,
) -> Image.Image:
    """A picture file, or the content of one, in RGB; with a bounding box, the part that `around` leaves.

    `as_stored` is that of `images.decode`; with a box it is always taken as stored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not a picture or too large, or the box lies outside it; the message names the file.
    """
    image = images.decode(file, name=name, as_stored=as_stored or box is not None)
    if box is None:
        return image
    crop = around(box, image.width, image.height)
    if crop[0] >= crop[2] or crop[1] >= crop[3]:
        raise ValueError(
            f"{name or file!s} has {image.width} x {image.height} pixels, and its bounding box {box} lies outside"
        )
    return image.crop(crop)


def around(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The square about a bounding box (left, top, width, height), clipped to the picture: left, top, right, bottom.

    r = int(0.75 max(w, h)), half of 1.5 times the longer side
    centre = int((2 left + w) / 2), int((2 top + h) / 2)

    It is not a square where the picture clips it.
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
    width, height = _resized_size(image, margin(size))
    place = corner(height, width, size, draws)
    if width * height > _MAX_RESIZED:
        return cropped(np.array(_window(image, (width, height), place, size)), size, (0, 0), flipped(draws))
    # Resized whole and then cropped: a crop on whole pixels is the reference's, a box between pixels is not.
    return cropped(np.array(resized(image, margin(size))), size, place, flipped(draws))


def margin(size: int) -> int:
    """The shorter side from which training crops `size` pixels: int(size * 76 / 64)."""
    return int(size * 76 / 64)


def resized(image: Image.Image, shorter: int) -> Image.Image:
    """The picture with its shorter side resized to `shorter`, antialiased."""
    return image.resize(_resized_size(image, shorter), Image.Resampling.BILINEAR)


def _resized_size(image: Image.Image, shorter: int) -> tuple[int, int]:
    """Width and height of a picture whose shorter side becomes `shorter`."""
    width, height = image.size
    if width < height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _window(image: Image.Image, whole: tuple[int, int], place: tuple[int, int], size: int) -> Image.Image:
    """The crop below and right of `place` of the picture resized to `whole`, without the rest of it.

    A picture one pixel wide and thousands high would take gigabytes. Equal but for rounding.
    """
    scale = image.width / whole[0], image.height / whole[1]
    start = place[1] * scale[0], place[0] * scale[1]
    stop = tuple(begin + size * step for begin, step in zip(start, scale, strict=True))
    reach = tuple(math.ceil(max(1.0, step)) + 1 for step in scale)  # of the filter, in stored pixels
    left, top = (max(0, math.floor(begin) - far) for begin, far in zip(start, reach, strict=True))
    right, bottom = (min(end, math.ceil(last) + far) for end, last, far in zip(image.size, stop, reach, strict=True))
    box = start[0] - left, start[1] - top, min(stop[0], image.width) - left, min(stop[1], image.height) - top
    return image.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BILINEAR, box)


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
    """The captions that hold a word, stripped of surrounding space, and the number of those that hold none."""
    found = [caption.strip() for caption in captions]
    kept = tuple(caption for caption in found if words_of(caption))
    return kept, len(found) - len(kept)


def require(name: str, paths: Sequence[Path], what_to_do: str) -> None:
    """Checks that files and folders of the data set `name` exist.

    Each of their folders is listed once: asking for every file is slow on a network.

    Raises:
        FileNotFoundError: some do not; the message counts and names them and ends with `what_to_do`.
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
