"""A page of pictures with their captions and labels, to see what a data set holds."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sclgan.data.types import Source

_MIN_CELL = 128  # narrower pictures are enlarged to it by a whole factor, so that captions fit below
_GAP = 20
_MARGIN = 28
_INK, _QUIET, _LINE = (24, 24, 27), (113, 113, 122), (228, 228, 231)


def contact_sheet(source: Source, *, rows: int, columns: int, size: int, seed: int) -> Image.Image:
    """A page of `rows` x `columns` pictures of `source`, each with its caption and, below it, its labels.

    The pictures are drawn without augmentation from rows spread evenly over the source, after a shuffle by `seed`;
    background and caption follow from `seed` too, so that equal arguments give equal pages. A source with fewer rows
    fills the page as far as it goes.

    Raises:
        ValueError: the page has no cell or the source is empty.
    """
    if min(rows, columns, len(source)) < 1:
        raise ValueError(
            f"a page of {rows} x {columns} pictures from {len(source)} rows is empty; ask for at least 1 x 1 of a "
            "source that has rows"
        )
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(source))[: rows * columns]
    rows = -(-len(chosen) // columns)
    pictures = [source.picture(int(index), size, random, augment=False) for index in chosen]
    labels = [", ".join(source.label_names[label] for label in source.labels[index]) for index in chosen]

    small, plain = ImageFont.load_default(13), ImageFont.load_default(14)
    cell = size * max(1, -(-_MIN_CELL // size))
    captions = [_wrapped(picture.caption, plain, cell) for picture in pictures]
    label_lines = [_wrapped(label, small, cell) for label in labels]
    line = 18
    heights = []
    for row in range(rows):
        of_row = slice(row * columns, (row + 1) * columns)
        lines = max(len(said) + len(label) for said, label in zip(captions[of_row], label_lines[of_row], strict=True))
        heights.append(cell + 10 + line * lines + 4 + _GAP)
    width = 2 * _MARGIN + columns * cell + (columns - 1) * _GAP
    top = 92
    page = Image.new("RGB", (width, top + sum(heights) + _MARGIN - _GAP), "white")
    pen = ImageDraw.Draw(page)
    _title(pen, source, width)

    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        x, y = _MARGIN + column * (cell + _GAP), top + sum(heights[:row])
        page.paste(Image.fromarray(picture.pixels).resize((cell, cell), Image.Resampling.NEAREST), (x, y))
        pen.rectangle((x - 1, y - 1, x + cell, y + cell), outline=_LINE)  # shows where a white picture ends
        y += cell + 8
        for text in captions[place]:
            pen.text((x, y), text, fill=_INK, font=plain)
            y += line
        for text in label_lines[place]:
            pen.text((x, y + 4), text, fill=_QUIET, font=small)
            y += line
    return page


def _title(pen: ImageDraw.ImageDraw, source: Source, width: int) -> None:
    """The first line: the source and its split, and how much it holds."""
    large, plain = ImageFont.load_default(26), ImageFont.load_default(15)
    pen.text((_MARGIN, 20), f"{source.name} / {source.split}", fill=_INK, font=large)
    held = f"{len(source):,} rows, {len(source.label_names):,} labels"
    pen.text((_MARGIN, 54), held, fill=_QUIET, font=plain)
    pen.line((_MARGIN, 80, width - _MARGIN, 80), fill=_LINE)


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> Sequence[str]:
    """The lines of `text` that fit `width` pixels."""
    for num_characters in range(max(8, width // 4), 7, -1):
        lines = textwrap.wrap(text, num_characters)
        if all(font.getlength(line) <= width for line in lines):
            return lines
    return textwrap.wrap(text, 8)
