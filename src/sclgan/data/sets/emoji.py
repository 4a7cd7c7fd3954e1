"""The embedded data set: emoji, each drawn by five to eight makers, composed on plain backgrounds with true captions.

It plays CUB's role (one label per image) and needs no download. The drawings are in `emoji.zip` beside this file, under
the licences that `EMOJI_ATTRIBUTION.md` names; `scripts/build_emoji.py` makes both.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sclgan.data.sets.backgrounds import BACKGROUNDS, COLORS, background_of, named_background
from sclgan.data.sets.emoji_captions import NUM_TEMPLATES, Words, caption
from sclgan.data.types import Picture, Sample

__all__ = [
    "BACKGROUNDS",
    "COLORS",
    "SPLITS",
    "Collection",
    "Concept",
    "Drawing",
    "Emoji",
    "Maker",
    "background_of",
    "collection",
    "named_background",
]  # fmt: skip

SPLITS = ("train", "test", "unseen")
MIN_SIZE, MAX_SIZE = 32, 256
_MARGIN = 12  # background around a drawing's 64 x 64 pixels, room for scale and shift
_MIN_SCALE = 0.85
_LONGER_SIDE = 60  # of a drawing, in its 64 x 64 pixels
SAMPLE_SIZE = 152  # side of a stored picture; a crop of 64 / 76 of it holds the whole drawing


@dataclass(frozen=True)
class Maker:
    """One set of emoji. `style` is the word by which captions know it; `licence` is an SPDX identifier."""

    key: str
    creator: str
    link: str
    licence: str
    style: str
    package: str
    version: str


@dataclass(frozen=True)
class Drawing:
    """A maker's drawing of one concept, the backgrounds it contrasts with, and its column (`place`) in the file."""

    maker: Maker
    colors: tuple[str, ...]
    backgrounds: tuple[str, ...]
    held_out: bool
    place: int


@dataclass(frozen=True)
class Concept:
    """One emoji, which is one class: its words, its drawings, and whether training never sees it.

    `code` is its Unicode code point in hexadecimal; `flips` is False where a mirror image would be wrong.
    """

    code: str
    name: str
    grammar: str
    superclass: str
    keywords: tuple[str, ...]
    flips: bool
    unseen: bool
    drawings: tuple[Drawing, ...]


class Collection:
    """Everything in `emoji.zip`. Drawings are decoded when they are first asked for, a class at a time, and kept.

    Raises:
        ValueError: the file is damaged.
    """

    def __init__(self, data: bytes) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                # Read whole, not kept open: a file position would be shared by forked workers.
                self._archive = {name: archive.read(name) for name in archive.namelist()}
            index = json.loads(self._archive["index.json"])
            self.size: int = index["size"]
            self.makers = tuple(Maker(**maker) for maker in index["makers"])
            self.superclasses: tuple[str, ...] = tuple(index["superclasses"])
            self.concepts = tuple(self._concept(entry, index["grounds"]) for entry in index["classes"])
        except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, LookupError, EOFError) as error:
            raise ValueError(f"the package's emoji.zip is damaged ({error}): reinstall sclgan") from error
        self._sprites: dict[str, tuple[Image.Image, ...]] = {}

    def _concept(self, entry: dict[str, Any], backgrounds: Sequence[str]) -> Concept:
        drawings = tuple(
            Drawing(
                maker=self.makers[drawing["maker"]],
                colors=tuple(drawing["colors"]),
                backgrounds=tuple(backgrounds[place] for place in drawing["grounds"]),
                held_out=drawing["held_out"],
                place=place,
            )
            for place, drawing in enumerate(entry["drawings"])
        )
        return Concept(
            code=entry["code"],
            name=entry["name"],
            grammar=entry["grammar"],
            superclass=self.superclasses[entry["superclass"]],
            keywords=tuple(entry["keywords"]),
            flips=entry["flips"],
            unseen=entry["unseen"],
            drawings=drawings,
        )

    @property
    def attribution(self) -> str:
        """Creators, links, licences and changes made, as Markdown; to be shown wherever the pictures are."""
        return self._archive["ATTRIBUTION.md"].decode()

    @property
    def credits(self) -> Sequence[str]:
        """The creators of the drawings, each with licence and link."""
        return tuple(f"{maker.creator} ({maker.licence}, {maker.link})" for maker in self.makers)

    def sprite_image(self, concept: Concept, drawing: Drawing) -> Image.Image:
        """The drawing as an RGBA picture of 64 x 64 pixels. It is shared: do not write to it."""
        if concept.code not in self._sprites:
            with Image.open(io.BytesIO(self._archive[f"{concept.code}.webp"])) as opened:
                strip = opened.convert("RGBA")
            side = self.size
            self._sprites[concept.code] = tuple(
                strip.crop((left, 0, left + side, side)) for left in range(0, strip.width, side)
            )
        return self._sprites[concept.code][drawing.place]

    def sprite(self, concept: Concept, drawing: Drawing) -> UInt8[np.ndarray, "64 64 4"]:
        """The drawing as RGBA, 0 to 255, colours not multiplied by alpha. It fills 60 of 64 pixels, centred.

        The colour of a pixel whose alpha is 0 means nothing.
        """
        return np.array(self.sprite_image(concept, drawing))


@lru_cache(maxsize=1)
def collection() -> Collection:
    """The embedded drawings, read once for the process."""
    return Collection(files("sclgan.data.sets").joinpath("emoji.zip").read_bytes())


class Emoji:
    """One split of the embedded emoji, a `Source`.

    - "train": the training classes without one drawing each.
    - "test": that held-out drawing of every training class; a thing that was trained on, a drawing never seen.
    - "unseen": every drawing of other classes, a quarter of each superclass; synonyms are on one side.

    `label_names` are this split's classes in Unicode's order: the same for "train" and "test". `superclasses[label]`
    is the label's group ("fruit"). Each row is one drawing; background, place, size and caption are drawn anew.
    The attributes of a picture are its background and, where it has one, the main colour of its drawing.
    """

    name = "emoji"
    unseen_split = "unseen"
    composes = True
    plain_backgrounds = True
    attribute_names = (*(f"{color} thing" for color in COLORS), *(f"{name} background" for name in BACKGROUNDS))

    def __init__(self, split: str) -> None:
        if split not in SPLITS:
            raise ValueError(f"emoji has no split {split!r}; take one of {', '.join(SPLITS)}")
        self.split = split
        concepts = [one for one in collection().concepts if one.unseen == (split == "unseen")]
        self.rows: tuple[tuple[Concept, Drawing], ...] = tuple(
            (one, drawing) for one in concepts for drawing in one.drawings if drawing.held_out == (split == "test")
        )
        label_of = {one.code: label for label, one in enumerate(concepts)}
        self.label_names: Sequence[str] = tuple(one.name for one in concepts)
        self.superclasses: Sequence[str] = tuple(one.superclass for one in concepts)
        self.labels: Sequence[tuple[int, ...]] = tuple((label_of[one.code],) for one, _ in self.rows)
        self.keys: Sequence[str] = tuple(f"{one.code}/{drawing.maker.key}" for one, drawing in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def credits(self) -> Sequence[str]:
        """The creators of the drawings, each with licence and link."""
        return collection().credits

    @cached_property
    def words(self) -> tuple[Words, ...]:
        """The words that captions use, per row."""
        return tuple(
            Words(one.name, one.grammar, one.superclass, one.keywords, drawing.maker.style, drawing.colors)
            for one, drawing in self.rows
        )

    @cached_property
    def class_captions(self) -> Sequence[str]:
        """A name of each class, such as "a giraffe"."""
        phrase_of = {label: words.phrase() for (label,), words in zip(self.labels, self.words, strict=True)}
        return tuple(phrase_of[label] for label in range(len(self.label_names)))

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` on one of its backgrounds, `size` x `size` (32 to 256), with one of twelve captions.

        Five captions of six name the background, which is then exactly the background that is drawn. `augment` flips,
        scales by 0.85 to 1 and shifts, never over a side; without it the drawing is centred, 94 % of the picture.
        Ground and caption do not depend on `size` or `augment`.
        """
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise ValueError(f"size is {size}; emoji are composed at {MIN_SIZE} to {MAX_SIZE} pixels")
        concept, drawing = self.rows[index]
        background_draw, template_draw, keyword_draw, *place_draws = rng.random(7).tolist()
        background = drawing.backgrounds[int(background_draw * len(drawing.backgrounds))]
        words = self.words[index]
        text = caption(
            words, background, int(template_draw * NUM_TEMPLATES), int(keyword_draw * max(1, len(words.keywords) - 1))
        )
        sprite = collection().sprite_image(concept, drawing)
        pixels = compose(sprite, BACKGROUNDS[background], size, place_draws if augment else None, flips=concept.flips)
        return Picture(pixels, text, self._attributes(drawing, background))

    def _attributes(self, drawing: Drawing, background: str) -> tuple[int, ...]:
        names = [*(f"{color} thing" for color in drawing.colors[:1]), f"{background} background"]
        return tuple(self.attribute_names.index(name) for name in names)

    def sample(self, index: int) -> Sample:
        """Row `index` on one of its backgrounds as a PNG of `SAMPLE_SIZE` pixels, with every caption true of it.

        The backgrounds take turns from row to row. The drawing has so much background around it that a random crop of
        64 / 76 leaves it whole; flipping is not always right, and captions do not say left or right.
        """
        concept, drawing = self.rows[index]
        background, words = drawing.backgrounds[index % len(drawing.backgrounds)], self.words[index]
        canvas = _laid_on(collection().sprite_image(concept, drawing), BACKGROUNDS[background])
        file = io.BytesIO()
        canvas.resize((SAMPLE_SIZE, SAMPLE_SIZE), Image.Resampling.BICUBIC).save(file, "PNG")
        captions = dict.fromkeys(
            caption(words, background, template, keyword)
            for template in range(NUM_TEMPLATES)
            for keyword in range(max(1, len(words.keywords) - 1))
        )
        return Sample(file.getvalue(), tuple(captions), self.labels[index], self.split, self.keys[index])

    def captions(self) -> Iterator[str]:
        """Captions that hold every word of every caption that `picture` can return.

        For each row: every template once, with its backgrounds in turn, as often as `picture` returns them; and one
        more for each further pair of keywords. All combinations would be ten times as many and hold no further word.
        """
        for row, ((_, drawing), words) in enumerate(zip(self.rows, self.words, strict=True)):
            for template in range(NUM_TEMPLATES):
                yield caption(words, drawing.backgrounds[(row + template) % len(drawing.backgrounds)], template, 0)
            for keyword in range(1, len(words.keywords) - 1):
                yield caption(
                    words, drawing.backgrounds[keyword % len(drawing.backgrounds)], NUM_TEMPLATES - 1, keyword
                )


def compose(
    sprite: Image.Image, background: tuple[int, int, int], size: int, draws: Sequence[float] | None, *, flips: bool
) -> UInt8[np.ndarray, "size size 3"]:
    """A sprite (RGBA) laid on a background; `draws` are four numbers in [0, 1) for flip, scale and the two shifts."""
    side = sprite.width
    canvas = _laid_on(sprite, background)
    window, left, top = float(side), float(_MARGIN), float(_MARGIN)
    if draws is not None:
        flip, scale, across, down = draws
        window = side / (_MIN_SCALE + (1 - _MIN_SCALE) * scale)
        middle = (canvas.width - window) / 2
        reach = min(middle, (window - _LONGER_SIDE) / 2 - 1)  # so far the whole drawing stays inside
        left, top = middle + reach * (2 * across - 1), middle + reach * (2 * down - 1)
        if flips and flip < 0.5:
            canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    box = (left, top, left + window, top + window)
    # The canvas is composed first: resizing an opaque picture leaves no seam, and Pillow filters when it shrinks.
    return np.array(canvas.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _laid_on(sprite: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """A sprite with background behind and around it."""
    side = sprite.width + 2 * _MARGIN
    canvas = Image.new("RGB", (side, side), background)
    canvas.paste(sprite, (_MARGIN, _MARGIN), sprite)
    return canvas
