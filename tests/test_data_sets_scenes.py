"""Scenes: what captions say is read back by a grammar of this file and compared with the boxes and with the pixels."""

import io
import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sclgan.data.captions import words_of
from sclgan.data.sets import emoji
from sclgan.data.sets.scene_places import CATEGORIES, LEFT_OUT, PLACES, SUPERCATEGORIES
from sclgan.data.sets.scenes import Scene, Scenes, _sprites
from sclgan.data.types import Source

NAMES = {one.name: one for one in CATEGORIES}
OF_PLURAL = {one.plural: one.name for one in CATEGORIES}
NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}
WHERE = {phrase: place.name for place in PLACES for way in place.said for phrase in way}
THING = r"(?:an?|two|three|four) [a-z ]+?"
RELATION = "to the left of|to the right of|above|below"
SIDE = "on the left|in the middle|on the right"
ENDING = "|".join(sorted(WHERE, key=len, reverse=True))


def phrase(text: str) -> tuple[str, int]:
    """ "two dogs" to ("dog", 2)."""
    number, _, name = text.partition(" ")
    count = NUMBERS[number]
    assert name in (NAMES if count == 1 else OF_PLURAL), text
    assert count > 1 or (number == "an") == (name[0] in "aeiou")
    return (name, 1) if count == 1 else (OF_PLURAL[name], count)


def phrases(text: str) -> dict[str, int]:
    return dict(phrase(part) for part in re.split(", | and ", text))


def boxes(scene: Scene, name: str) -> list[tuple[float, float, float, float]]:
    return [(t.left, t.top, t.right, t.bottom) for t in scene.things if CATEGORIES[t.category].name == name]


def holds(scene: Scene, one: str, said: str, other: str) -> bool:
    """Whether every thing of one kind lies so to every thing of the other."""
    axis, sign = {"to the left of": (0, 1), "to the right of": (0, -1), "above": (1, 1), "below": (1, -1)}[said]
    first, second = boxes(scene, one), boxes(scene, other)
    if sign < 0:
        first, second = second, first
    return all(a[axis + 2] <= b[axis] for a in first for b in second)


def is_true(scene: Scene, caption: str) -> bool:
    """Reads any of the captions and compares it with the layout."""
    counts = Counter(CATEGORIES[thing.category].name for thing in scene.things)
    ending = re.search(rf"^(.*?) ?\b({ENDING})$", caption)
    beginning = re.search(rf"^({ENDING}) with (.*)$", caption)
    if beginning:
        return WHERE[beginning[1]] == scene.place.name and phrases(beginning[2]) == counts
    if ending:
        if WHERE[ending[2]] != scene.place.name:
            return False
        caption = ending[1]
    caption = re.sub(
        "^there (is|are) ", lambda verb: "" if (verb[1] == "is") == (caption.split()[2][0] == "a") else "!", caption
    )
    if found := re.fullmatch(f"({THING}) ({RELATION}) ({THING})", caption):
        one, other = phrase(found[1]), phrase(found[3])
        return holds(scene, one[0], found[2], other[0]) and counts[one[0]] == one[1] and counts[other[0]] == other[1]
    if found := re.fullmatch(f"({THING}) ({SIDE})", caption):
        name, count = phrase(found[1])
        third = {"on the left": 0, "in the middle": 1, "on the right": 2}[found[2]]
        middles = [(box[0] + box[2]) / 2 for box in boxes(scene, name)]
        return counts[name] == count and all(third / 3 <= middle < (third + 1) / 3 for middle in middles)
    if any(caption.endswith(said) for way in SUPERCATEGORIES.values() for said in way):
        groups = Counter(NAMES[name].supercategory for name in counts.elements())
        said = {
            f"{number} {plural}" if count > 1 else singular: (name, count)
            for name, (singular, plural) in SUPERCATEGORIES.items()
            for number, count in NUMBERS.items()
        }
        if all(part in said for part in re.split(", | and ", caption)):
            return dict(said[part] for part in re.split(", | and ", caption)) == groups
    return all(counts[name] == count for name, count in phrases(caption).items())


@pytest.fixture(scope="module", params=["train", "test"])
def scenes(request) -> Scenes:
    return Scenes(request.param, num_scenes=600)


def test_every_caption_is_true_of_the_layout(scenes):
    forms: Counter[str] = Counter()
    for index in range(len(scenes)):
        scene = scenes.scene(index)
        assert len(set(scene.captions)) == 5
        for caption in scene.captions:
            assert is_true(scene, caption), (index, caption)
            forms[next((word for word in (*RELATION.split("|"), *SIDE.split("|"), "with") if word in caption), "")] += 1
    assert min(forms[word] for word in (*RELATION.split("|"), *SIDE.split("|"), "with")) > 20


def test_the_reader_of_captions_finds_what_is_wrong():
    """Captions of one scene are false of others: the reader is no rubber stamp."""
    scenes = Scenes("train", num_scenes=30)
    judged = [
        is_true(scenes.scene(other), caption)
        for index in range(30)
        for other in range(30)
        if other != index
        for caption in scenes.scene(index).captions[:2]
    ]
    assert sum(judged) < 0.01 * len(judged)


def test_boxes_are_what_is_drawn(scenes):
    """A scene without one of its things differs from the whole inside that thing's box, and up to its sides."""
    for index in range(40):
        scene = scenes.scene(index)
        for number, thing in enumerate(scene.things):
            alone = Scene(scene.place, scene.horizon, scene.light, (thing,), (scene.sprites[number],), ())
            empty = Scene(scene.place, scene.horizon, scene.light, (), (), ())
            changed = (alone.drawn(128) != empty.drawn(128)).any(2)
            down, across = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            found = np.array([across[0], down[0], across[-1] + 1, down[-1] + 1]) / 128
            box = np.array([thing.left, thing.top, thing.right, thing.bottom])
            assert np.abs(found - box).max() < 4 / 128, (index, thing)
            assert box.min() >= 0
            assert box.max() <= 1


def test_things_stand_where_they_belong_and_hide_little_of_each_other(scenes):
    for index in range(len(scenes)):
        scene = scenes.scene(index)
        assert 1 <= len(scene.things) <= 4
        assert len(scene.things) == len(scene.sprites)
        grounded: list[Any] = []
        for thing in scene.things:
            made = CATEGORIES[thing.category]
            assert scene.place.name in made.places
            if made.supercategory == "air":
                assert thing.bottom <= scene.horizon + 1e-9
                assert not grounded  # drawn before what stands on the ground
            else:
                assert thing.bottom > scene.horizon
                grounded.append(thing.bottom)
        assert grounded == sorted(grounded)
        for one in scene.things:
            for other in scene.things:
                width = min(one.right, other.right) - max(one.left, other.left)
                height = min(one.bottom, other.bottom) - max(one.top, other.top)
                if one is not other and width > 0 and height > 0:
                    areas = [(thing.right - thing.left) * (thing.bottom - thing.top) for thing in (one, other)]
                    assert width * height <= 0.12 * min(areas) + 1e-9


def coverage(scene: Scene, number: int) -> float:
    """How much of the picture one thing covers: where it lies, white and black grounds look the same."""
    drawn = []
    for shade in ((255, 255, 255), (0, 0, 0)):
        ground = replace(scene.place, sky=(shade, shade), ground=(shade, shade))
        alone = Scene(
            ground, scene.horizon, 1.0, scene.things[number : number + 1], scene.sprites[number : number + 1], ()
        )
        drawn.append(alone.drawn(128).astype(float))
    return float(1 - (drawn[0] - drawn[1]).mean() / 255)


def test_labels_are_the_categories_by_drawn_area(scenes):
    assert len(scenes.labels) == len(scenes) == len(set(scenes.keys))
    for index in range(100):
        scene = scenes.scene(index)
        areas: defaultdict[int, float] = defaultdict(float)
        for number, thing in enumerate(scene.things):
            areas[thing.category] += coverage(scene, number)
        assert set(scenes.labels[index]) == set(areas)
        ordered = [areas[label] for label in scenes.labels[index]]
        assert all(later <= 1.1 * earlier for earlier, later in pairwise(ordered))


def test_every_category_occurs_and_no_test_drawing_is_trained_on():
    concepts = {one.name: one for one in emoji.collection().concepts}
    for label, category in enumerate(CATEGORIES):
        assert not concepts[category.name].unseen
        train, test = _sprites("train", label), _sprites("test", label)
        assert len(train) >= 3
        assert len(test) == 1
        assert not {one.maker for one in train} & {one.maker for one in test}
        for sprite in train + test:  # four full corners are a square ground
            alpha = np.array(sprite.image)[..., 3] > 128
            corners = [alpha[:3, :3], alpha[:3, -3:], alpha[-3:, :3], alpha[-3:, -3:]]
            assert not all(corner.mean() > 0.5 for corner in corners), (category.name, sprite.maker)
    assert len(CATEGORIES) == len(NAMES) == 80
    assert len({one.supercategory for one in CATEGORIES}) == len(SUPERCATEGORIES) == len(PLACES) == 7
    assert all(maker in {d.maker.key for d in concepts[name].drawings} for name, maker in LEFT_OUT)
    labels = Counter(label for own in Scenes("train", num_scenes=3000).labels for label in own)
    assert set(labels) == set(range(80))


def test_scenes_credit_the_makers_of_their_drawings(scenes):
    assert not scenes.composes
    assert scenes.credits == emoji.Emoji("test").credits
    assert any("CC-BY-4.0" in credit and "https://" in credit for credit in scenes.credits)


def test_a_scene_is_a_function_of_seed_split_and_index(scenes):
    same, more = Scenes(scenes.split, num_scenes=600), Scenes(scenes.split)
    assert isinstance(same, Source)
    for index in (0, 17, 599):
        assert same.scene(index).captions == more.scene(index).captions
        picture = scenes.picture(index, 64, np.random.default_rng(1))
        np.testing.assert_array_equal(
            picture.pixels, more.picture(index, 64, np.random.default_rng(1), augment=False).pixels
        )
        assert picture.caption in more.scene(index).captions
    other = Scenes(scenes.split, num_scenes=600, seed=1)
    assert sum(other.scene(i).captions == same.scene(i).captions for i in range(100)) < 5
    assert len(more) == {"train": 20_000, "test": 2_000}[scenes.split]
    assert sum(Scenes("train").scene(i).place == Scenes("test").scene(i).place for i in range(100)) < 50


def test_a_sample_is_a_png_with_everything_that_is_true(scenes):
    sample = scenes.sample(3)
    with Image.open(io.BytesIO(sample.image)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.array(image), scenes.scene(3).drawn(128))
    assert (sample.captions, sample.labels) == (scenes.scene(3).captions, scenes.labels[3])
    assert (sample.split, sample.key, sample.box) == (scenes.split, scenes.keys[3], None)


def test_captions_are_short_enough_for_the_recipes(scenes):
    lengths = [len(words_of(caption)) for caption in scenes.captions()]
    assert sum(length > 20 for length in lengths) < 0.005 * len(lengths)


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(ValueError, match="take one of train, test"):
        Scenes("unseen")
    with pytest.raises(ValueError, match="at least 1"):
        Scenes("train", num_scenes=0)
    with pytest.raises(ValueError, match="32 to 128"):
        Scenes("train").picture(0, 256, np.random.default_rng(0))
    with pytest.raises(IndexError):
        Scenes("test", num_scenes=5).scene(5)
