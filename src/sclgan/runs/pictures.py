"""Samples in rows, and what a generator looks at: attention over words (AttnGAN, DM-GAN), fusion masks (SSA-GAN).

Xu et al. 2018, "AttnGAN", section 3.1 (attention); Liao et al. 2022, "SSA-GAN", section 3 (masks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sclgan.data.picture_writing import write_picture
from sclgan.data.pixels import to_8_bits
from sclgan.runs.opened import Run

_CELL, _GAP, _MARGIN, _COLUMNS, _LINE = 160, 14, 28, 8, 20
_EDGE = 2
_INK, _QUIET = (24, 24, 27), (113, 113, 122)
_GLOW = np.array([255.0, 200.0, 40.0])
_FLOOR, _TINT = 0.25, 0.25  # shares: of the picture's light where a map is 0, and of the glow where it is full


@dataclass(frozen=True)
class Tile:
    """One square of the page, and what stands below it."""

    pixels: UInt8[np.ndarray, "h w 3"]
    label: str


def grid(pictures: UInt8[np.ndarray, "n 3 h w"], num_columns: int) -> Image.Image:
    """Pictures in rows with black lines of two pixels between and around them; one picture has none."""
    count, _, height, width = pictures.shape
    if count == 1:
        return Image.fromarray(np.ascontiguousarray(pictures[0].transpose(1, 2, 0)))
    num_columns = min(num_columns, count)
    rows = -(-count // num_columns)
    sheet = np.zeros((rows * (height + _EDGE) + _EDGE, num_columns * (width + _EDGE) + _EDGE, 3), np.uint8)
    for number, picture in enumerate(pictures):
        top = number // num_columns * (height + _EDGE) + _EDGE
        left = number % num_columns * (width + _EDGE) + _EDGE
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    return Image.fromarray(sheet)


def attention_picture(run: Run, captions: Sequence[str], path: Path, *, num_images: int, seed: int) -> None:
    """Writes a picture: for each caption its first one of `run.sample`, and a tile for each map of that picture.

    AttnGAN and DM-GAN: the last later stage's attention to each word, and the largest share of a place's attention
    that the word has; its tile is brightest there. SSA-GAN: the fusion masks from coarse to fine, dark at 0 and bright
    at 1. Words that are not in the vocabulary have no tile.
    """
    rows: list[tuple[str, list[Tile]]] = []
    start = 0
    # Drawn in the batches of `sample`: with published weights a picture depends on its neighbours in the batch.
    for fake in run.draw(captions, num_images=num_images, seed=seed):
        for row in range(-start % num_images, len(fake.image), num_images):
            caption = captions[(start + row) // num_images]
            image = to_8_bits(fake.image[row : row + 1])[0].permute(1, 2, 0).cpu().numpy()
            maps = [maps_of_stage[row].float().cpu() for maps_of_stage in fake.maps]
            words = run.tokenizer.read(caption).words
            rows.append((caption, [Tile(image, "picture"), *tiles(image, words, maps, of_words=fake.maps_of_words)]))
        start += len(fake.image)
    write_picture(page(rows), path)


def tiles(
    image: UInt8[np.ndarray, "h w 3"],
    words: Sequence[str],
    maps: Sequence[Float[Tensor, "_n _h _w"]],
    *,
    of_words: bool,
) -> list[Tile]:
    """A tile for each word where the maps are attention, and for each stage where they are single masks.

    Raises:
        ValueError: the GAN gives no maps.
    """
    if not maps:
        raise ValueError("this GAN has no attention and no masks to show: leave out --attention")
    if not of_words:
        return [Tile(lit(image, stage[0], full=1.0), f"mask {stage.shape[1]} x {stage.shape[2]}") for stage in maps]
    return [
        Tile(lit(image, attention, full=float(attention.max())), f"{word}  {float(attention.max()):.0%}")
        for word, attention in zip(words, maps[-1], strict=False)  # behind the words is padding
    ]


def lit(image: UInt8[np.ndarray, "h w 3"], light: Float[Tensor, "_h _w"], *, full: float) -> UInt8[np.ndarray, "h w 3"]:
    """The image dimmed where `light` is 0, and bright with a warm tint where it is `full`."""
    shown = F.interpolate(light[None, None], image.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    share = (shown / max(full, 1e-12)).numpy()[:, :, None]
    mixed = image * (_FLOOR + (1 - _FLOOR - _TINT) * share) + _TINT * share * _GLOW
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


def page(rows: Sequence[tuple[str, Sequence[Tile]]]) -> Image.Image:
    """The rows one below the other: a heading, and its tiles in lines of up to eight."""
    heading, plain = ImageFont.load_default(18), ImageFont.load_default(14)
    most = max(len(each) for _, each in rows)
    columns = -(-most // -(-most // _COLUMNS))  # the longest row in lines of equal length
    width = 2 * _MARGIN + columns * _CELL + (columns - 1) * _GAP
    width = max(width, *(int(heading.getlength(text)) + 2 * _MARGIN for text, _ in rows))
    line = _CELL + _LINE + _GAP
    heights = [36 + line * -(-len(each) // columns) for _, each in rows]
    sheet = Image.new("RGB", (width, _MARGIN + sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (text, each) in enumerate(rows):
        top = _MARGIN + sum(heights[:number])
        pen.text((_MARGIN, top), text, fill=_INK, font=heading)
        for place, tile in enumerate(each):
            x, y = _MARGIN + place % columns * (_CELL + _GAP), top + 36 + place // columns * line
            sheet.paste(Image.fromarray(tile.pixels).resize((_CELL, _CELL), Image.Resampling.BICUBIC), (x, y))
            pen.text((x, y + _CELL + 3), tile.label, fill=_QUIET if place == 0 else _INK, font=plain)
    return sheet
