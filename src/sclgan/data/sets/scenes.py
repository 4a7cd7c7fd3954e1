"""The embedded data set of scenes: several emoji on a background, captions that say what is where, several labels each.

It plays COCO's role and needs no download. It is a synthetic composition of the real drawings of `emoji.py`, under the
licences that `EMOJI_ATTRIBUTION.md` names.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sclgan.data.sets.emoji import collection
from sclgan.data.sets.scene_captions import Thing, captions_of
from sclgan.data.sets.scene_places import ALONE, CATEGORIES, LEFT_OUT, PLACES, Place
from sclgan.data.types import Picture, Sample
from sclgan.random import Stream, numpy_generator

SPLITS = ("train", "test")
NUM_SCENES = {"train": 20_000, "test": 2_000}
MIN_SIZE, MAX_SIZE = 32, 128
MAX_THINGS = 4

_IN_THE_AIR, _AGAIN = 0.28, 0.2  # chances that a thing is in the air, and that it is one more of the kind before
_NUM_TRIES = 12  # places that are tried for a thing before it is left out
_OVERLAP = 0.12  # largest part of the smaller of two boxes that the other may cover
_NUM_DRAWS = 2 + 1 + MAX_THINGS * (5 + 2 * _NUM_TRIES) + 8
_EDGE = 0.02  # a thing is at least so far from every side


@dataclass(frozen=True)
class Sprite:
    """One drawing cut to what is drawn; `aspect` is width / height, `opaque` the drawn share of its box."""

    image: Image.Image
    maker: str
    aspect: float
    opaque: float
    flips: bool


@dataclass(frozen=True)
class Scene:
    """A composition, in sides of the picture: `things` from the farthest to the nearest, and how each is drawn."""

    place: Place
    horizon: float
    light: float
    things: tuple[Thing, ...]
    sprites: tuple[tuple[Sprite, bool], ...]
    captions: tuple[str, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The categories, the one that covers most of the picture first."""
        areas = self.areas
        return tuple(sorted(areas, key=lambda label: (-areas[label], label)))

    @property
    def areas(self) -> dict[int, float]:
        """Category -> how much of the picture its drawings cover, what nearer things hide of them included."""
        areas: dict[int, float] = {}
        for thing, (sprite, _) in zip(self.things, self.sprites, strict=True):
            box = (thing.right - thing.left) * (thing.bottom - thing.top)
            areas[thing.category] = areas.get(thing.category, 0.0) + box * sprite.opaque
        return areas

    def drawn(self, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """The scene as pixels."""
        canvas = Image.fromarray(_ground(self.place, self.horizon, self.light, size))
        for thing, (sprite, flipped) in zip(self.things, self.sprites, strict=True):
            left, top = round(thing.left * size), round(thing.top * size)
            extent = max(1, round(thing.right * size) - left), max(1, round(thing.bottom * size) - top)
            image = sprite.image.resize(extent, Image.Resampling.BICUBIC)
            if flipped:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            canvas.paste(image, (left, top), image)
        return np.array(canvas)


class Scenes:
    """`num_scenes` composed scenes, a `Source`; by default 20,000 for "train" and 2,000 for "test".

    Scene `index` of a split is a function of (seed, split, index), so any number of them costs nothing. "test" uses
    the held-out drawing of every category, which "train" never shows. `labels[i]` are the categories in scene i, the
    one that covers most of it first. The attribute of a scene is its place.

    Left and right stand in captions, so scenes are not flipped or cropped: `augment` changes nothing.
    """

    name = "scenes"
    composes = False  # a scene is one picture
    plain_backgrounds = False
    attribute_names = tuple(place.name for place in PLACES)

    def __init__(self, split: str, *, num_scenes: int | None = None, seed: int = 0) -> None:
        if split not in SPLITS:
            raise ValueError(f"scenes has no split {split!r}; take one of {', '.join(SPLITS)}")
        if num_scenes is not None and num_scenes < 1:
            raise ValueError(f"num_scenes must be at least 1, not {num_scenes}")
        self.split, self.seed = split, seed
        self.num_scenes = NUM_SCENES[split] if num_scenes is None else num_scenes
        self.label_names: Sequence[str] = tuple(category.name for category in CATEGORIES)
        self.superclasses: Sequence[str] = tuple(category.supercategory for category in CATEGORIES)
        self.labels: Sequence[tuple[int, ...]] = _Labels(self)
        self.keys: Sequence[str] = tuple(f"{split}{index:07d}" for index in range(self.num_scenes))

    def __len__(self) -> int:
        return self.num_scenes

    @property
    def credits(self) -> Sequence[str]:
        """The creators of the drawings, each with licence and link."""
        return collection().credits

    def scene(self, index: int) -> Scene:
        """The composition of a row."""
        if not 0 <= index < self.num_scenes:
            raise IndexError(f"there are {self.num_scenes} scenes, from 0; not {index}")
        draws = iter(
            numpy_generator(Stream.SCENE, self.seed, SPLITS.index(self.split), index).random(_NUM_DRAWS).tolist()
        )
        return composed(self.split, draws)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:  # noqa: ARG002
        """Scene `index` as `size` x `size` pixels (32 to 128, which the drawings carry), with one of five captions."""
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise ValueError(f"size is {size}; scenes are composed at {MIN_SIZE} to {MAX_SIZE} pixels")
        scene = self.scene(index)
        caption = scene.captions[int(rng.random() * len(scene.captions))]
        return Picture(scene.drawn(size), caption, (PLACES.index(scene.place),))

    def captions(self) -> Iterator[str]:
        """Every caption of every scene."""
        for index in range(len(self)):
            yield from self.scene(index).captions

    def sample(self, index: int) -> Sample:
        """Scene `index` as a PNG of 128 x 128 pixels with its five captions."""
        scene, file = self.scene(index), io.BytesIO()
        Image.fromarray(scene.drawn(MAX_SIZE)).save(file, "PNG")
        return Sample(file.getvalue(), scene.captions, scene.labels, self.split, self.keys[index])


class _Labels(Sequence[tuple[int, ...]]):
    """The labels of every scene. All are composed when the first is asked for: a second for twenty thousand."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes

    @cached_property
    def _all(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self._scenes.scene(index).labels for index in range(len(self)))

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]


def composed(split: str, draws: Iterator[float]) -> Scene:
    """A scene from numbers in [0, 1): a place, one to four things, where they stand, captions."""
    place = PLACES[int(next(draws) * len(PLACES))]
    low, high = place.horizon
    horizon, light = low + next(draws) * (high - low), 0.9 + 0.1 * next(draws)
    # One to four things with 1, 3, 3 and 3 chances of ten.
    wanted = 1 + int(np.searchsorted((0.1, 0.4, 0.7), next(draws), side="right"))
    placed: list[tuple[Thing, Sprite, bool]] = []
    for _ in range(wanted):
        category = _drawn_category(place, [thing.category for thing, *_ in placed], draws)
        sprites = _sprites(split, category)
        sprite = sprites[int(next(draws) * len(sprites))]
        flipped = next(draws) < 0.5 and sprite.flips
        tries = [(next(draws), next(draws)) for _ in range(_NUM_TRIES)]
        for across, down in tries:
            thing = _placed(category, sprite, horizon, across, down)
            if all(_overlap(thing, other) <= _OVERLAP for other, *_ in placed):
                placed.append((thing, sprite, flipped))
                break
    # What is in the air is farthest; of the rest the nearer stand lower.
    placed.sort(key=lambda one: (CATEGORIES[one[0].category].supercategory != "air", one[0].bottom))
    things = tuple(thing for thing, *_ in placed)
    captions = captions_of(things, place, draws)
    return Scene(place, horizon, light, things, tuple((sprite, flipped) for _, sprite, flipped in placed), captions)


def _drawn_category(place: Place, before: Sequence[int], draws: Iterator[float]) -> int:
    """A category that the place admits; often one more of the last."""
    again, in_the_air, which = next(draws), next(draws), next(draws)
    if before and again < _AGAIN and CATEGORIES[before[-1]].name not in ALONE:
        return before[-1]
    admitted = _admitted(place.name, in_the_air < _IN_THE_AIR)
    if left := [label for label in admitted if label not in before or CATEGORIES[label].name not in ALONE]:
        admitted = left
    return admitted[int(which * len(admitted))]


@lru_cache(maxsize=2 * len(PLACES))
def _admitted(place: str, in_the_air: bool) -> list[int]:
    return [
        label
        for label, category in enumerate(CATEGORIES)
        if place in category.places and (category.supercategory == "air") == in_the_air
    ]


def _placed(category: int, sprite: Sprite, horizon: float, across: float, down: float) -> Thing:
    """A thing where (across, down) in [0, 1)^2 put it: in the air, in the water, or standing on the ground."""
    made = CATEGORIES[category]
    if made.supercategory == "air":
        scale = min(made.size * (0.85 + 0.3 * across * down), horizon - 2 * _EDGE)
    else:
        scale = made.size * (0.8 + 0.4 * down)  # nearer things are larger
    width, height = (scale, scale / sprite.aspect) if sprite.aspect > 1 else (scale * sprite.aspect, scale)
    if made.supercategory == "air":
        highest, lowest = _EDGE, max(_EDGE, horizon - height)
        top = highest + down * (lowest - highest)
    elif "sea" in made.places and made.supercategory == "sea animal":
        top = horizon + (1 - _EDGE - height - horizon) * down
    else:
        bottom = horizon + 0.08 + down * (1 - _EDGE - horizon - 0.08)
        top = max(_EDGE, bottom - height)
    left = _EDGE + across * (1 - 2 * _EDGE - width)
    return Thing(category, left, top, left + width, top + height)


def _overlap(one: Thing, other: Thing) -> float:
    """The shared part of two boxes, of the smaller one."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    areas = ((thing.right - thing.left) * (thing.bottom - thing.top) for thing in (one, other))
    return width * height / min(areas)


@lru_cache(maxsize=2 * len(CATEGORIES))
def _sprites(split: str, category: int) -> tuple[Sprite, ...]:
    """The drawings of a category that a split may show."""
    name = CATEGORIES[category].name
    concept = next(one for one in collection().concepts if one.name == name)
    found = []
    for drawing in concept.drawings:
        if drawing.held_out != (split == "test") or (name, drawing.maker.key) in LEFT_OUT:
            continue
        image = collection().sprite_image(concept, drawing)
        alpha = image.getchannel("A")
        image = image.crop(alpha.point(lambda value: 255 * (value > 16)).getbbox())
        opaque = float(np.mean(np.array(image)[..., 3])) / 255
        found.append(Sprite(image, drawing.maker.key, image.width / image.height, opaque, concept.flips))
    return tuple(found)


def _ground(place: Place, horizon: float, light: float, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Sky and ground without things; `light` dims both."""
    line = round(horizon * size)
    rows = np.empty((size, 1, 3))
    for part, (first, last) in ((slice(0, line), place.sky), (slice(line, size), place.ground)):
        steps = np.linspace(0, 1, part.stop - part.start)[:, None, None]
        rows[part] = np.array(first) * (1 - steps) + np.array(last) * steps
    column = np.rint(rows * light).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(column, (size, size, 3)))
