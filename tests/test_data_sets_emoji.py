"""The embedded emoji: splits, licences, and captions that are true of their pictures."""

from collections import Counter
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from sclgan.data.captions import words_of
from sclgan.data.sets.backgrounds import BACKGROUNDS, COLORS, background_of, lab, named_background, nearest
from sclgan.data.sets.emoji import SPLITS, Emoji, collection
from sclgan.data.sets.emoji_captions import NUM_TEMPLATES, Words, caption
from sclgan.data.types import Source

NUM_ROWS = {"train": 2793, "test": 458, "unseen": 1116}
NUM_CLASSES = {"train": 458, "test": 458, "unseen": 153}


@pytest.fixture(scope="module")
def splits() -> dict[str, Emoji]:
    return {split: Emoji(split) for split in SPLITS}


@pytest.mark.parametrize("split", SPLITS)
def test_counts_are_stable(splits: dict[str, Emoji], split: str) -> None:
    source = splits[split]
    assert isinstance(source, Source)
    assert (source.name, source.split) == ("emoji", split)
    assert len(source) == len(source.labels) == len(source.keys) == len(set(source.keys)) == NUM_ROWS[split]
    assert len(source.label_names) == len(set(source.label_names)) == len(source.superclasses) == NUM_CLASSES[split]
    assert {label for (label,) in source.labels} == set(range(NUM_CLASSES[split]))


def test_unseen_classes_are_unseen_and_held_out_drawings_are_held_out(splits: dict[str, Emoji]) -> None:
    train, test, unseen = (splits[split] for split in SPLITS)
    assert train.label_names == test.label_names
    assert not set(train.label_names) & set(unseen.label_names)
    assert not (set(train.keys) & set(test.keys)) | (set(train.keys) & set(unseen.keys))
    assert Counter(test.labels) == Counter((label,) for label in range(len(test.label_names)))
    assert sum(map(len, splits.values())) == sum(len(concept.drawings) for concept in collection().concepts)


def test_unseen_classes_are_spread_over_the_superclasses(splits: dict[str, Emoji]) -> None:
    seen, unseen = Counter(splits["train"].superclasses), Counter(splits["unseen"].superclasses)
    for superclass, count in (seen + unseen).items():
        if count >= 8:
            assert 0.1 <= unseen[superclass] / count <= 0.4, superclass


def test_synonyms_are_on_one_side(splits: dict[str, Emoji]) -> None:
    unseen = set(splits["unseen"].label_names)
    for animal in ("dog", "cat", "tiger", "mouse", "cow", "pig", "rabbit", "horse", "monkey", "dragon"):
        assert (animal in unseen) == (f"{animal} face" in unseen)


def test_every_class_has_five_to_eight_drawings_by_different_makers() -> None:
    for concept in collection().concepts:
        makers = [drawing.maker.key for drawing in concept.drawings]
        assert 5 <= len(makers) == len(set(makers)) <= 8, concept.name


def test_drawings_fill_the_canvas_and_carry_few_levels() -> None:
    for concept in collection().concepts[::20]:
        for drawing in concept.drawings:
            sprite = collection().sprite(concept, drawing)
            solid = np.argwhere(sprite[..., 3] > 0)
            assert 58 <= (np.ptp(solid, axis=0) + 1).max() <= 60
            assert len(np.unique(sprite[..., 3])) <= 16
            assert len(np.unique(sprite[sprite[..., 3] > 0][:, :3])) <= 64


def test_only_permissive_licences_and_every_set_is_credited() -> None:
    attribution = files("sclgan.data.sets").joinpath("EMOJI_ATTRIBUTION.md").read_text(encoding="utf-8")
    assert collection().attribution == attribution
    assert {maker.licence for maker in collection().makers} == {"Apache-2.0", "MIT", "CC-BY-4.0"}
    used = {drawing.maker for concept in collection().concepts for drawing in concept.drawings}
    assert used == set(collection().makers)
    for maker in used:
        row = next(line for line in attribution.splitlines() if line.startswith(f"| {maker.key} |"))
        assert maker.creator in row
        assert maker.link in row
        assert maker.licence in row
    assert "rasterised" in attribution


def test_the_data_file_is_small() -> None:
    assert len(files("sclgan.data.sets").joinpath("emoji.zip").read_bytes()) <= 10_000_000


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_captions_name_the_background_that_is_drawn(splits: dict[str, Emoji], size: int) -> None:
    random = np.random.default_rng(size)
    num_named = num_agreeing = 0
    num_pictures = 400
    for split in ("train", "unseen"):
        source = splits[split]
        for index in random.integers(len(source), size=num_pictures // 2):
            picture = source.picture(int(index), size, random)
            assert picture.pixels.shape == (size, size, 3)
            ground = named_background(picture.caption)
            num_named += ground is not None
            num_agreeing += ground == background_of(picture.pixels)
    assert num_named >= 0.7 * num_pictures
    assert num_agreeing > 0.99 * num_named


def test_captions_name_colors_that_the_picture_has(splits: dict[str, Emoji]) -> None:
    source, random = splits["train"], np.random.default_rng(0)
    num_named = num_missing = 0
    for index in range(0, len(source), 12):
        pixels = source.picture(index, 64, random, augment=False).pixels
        ground = np.array(BACKGROUNDS[background_of(pixels)], np.float64)
        colors = pixels.reshape(-1, 3)
        colors = colors[np.linalg.norm(lab(colors) - lab(ground[None]), axis=1) > 10]
        share = np.bincount(nearest(colors, list(COLORS.values())), minlength=len(COLORS)) / len(colors)
        # Named is what covers 18 % of the drawing; here soft edges and parts that look like the ground are lost.
        said = source.words[index].colors
        num_named += len(said)
        num_missing += sum(share[list(COLORS).index(color)] < 0.12 for color in said)
    assert num_named > 200
    assert num_missing < 0.01 * num_named


def test_every_drawing_has_grounds_and_a_color(splits: dict[str, Emoji]) -> None:
    for source in splits.values():
        for (_, drawing), words in zip(source.rows, source.words, strict=True):
            assert len(drawing.backgrounds) >= 4
            assert set(drawing.backgrounds) <= set(BACKGROUNDS)
            assert 1 <= len(words.colors) <= 2
            assert set(words.colors) <= set(COLORS)


def test_a_seed_names_a_picture(splits: dict[str, Emoji]) -> None:
    source = splits["train"]
    one, same = (source.picture(7, 64, np.random.default_rng(3)) for _ in range(2))
    other = source.picture(7, 64, np.random.default_rng(4))
    assert np.array_equal(one.pixels, same.pixels)
    assert one.caption == same.caption
    assert not np.array_equal(one.pixels, other.pixels)
    small = source.picture(7, 32, np.random.default_rng(3), augment=False)
    assert (small.caption, background_of(small.pixels)) == (one.caption, background_of(one.pixels))
    one.pixels[0] = 0  # the array is the caller's own
    assert not np.array_equal(one.pixels, source.picture(7, 64, np.random.default_rng(3)).pixels)


def test_augmenting_moves_the_drawing_and_never_cuts_it(splits: dict[str, Emoji]) -> None:
    source = splits["train"]
    plain: list[Any] = []
    moved: list[Any] = []
    for seed in range(40):
        for augment, found in ((False, plain), (True, moved)):
            picture = source.picture(100, 64, np.random.default_rng(seed), augment=augment)
            away = np.abs(picture.pixels.astype(int) - BACKGROUNDS[background_of(picture.pixels)]).max(-1) > 8
            rows, columns = np.nonzero(away)
            found.append((rows.min(), rows.max(), columns.min(), columns.max()))
    assert len({tuple(np.array(box) // 3) for box in plain}) <= 2  # only the contrast to the ground differs
    assert len(set(moved)) > 10
    assert np.min(moved) >= 0
    assert np.max(moved) <= 63


def test_mirror_images_that_would_be_wrong_are_not_made() -> None:
    flips = {concept.name: concept.flips for concept in collection().concepts}
    assert flips["red apple"]
    assert not any(flips[name] for name in ("first quarter moon", "magnifying glass tilted left", "rising chart"))


@pytest.mark.parametrize("size", [31, 257])
def test_sizes_outside_the_range_are_refused(splits: dict[str, Emoji], size: int) -> None:
    with pytest.raises(ValueError, match="32 to 256"):
        splits["train"].picture(0, size, np.random.default_rng(0))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="train, test, unseen"):
        Emoji("val")


@pytest.mark.parametrize("split", SPLITS)
def test_captions_hold_every_word(splits: dict[str, Emoji], split: str) -> None:
    source, random = splits[split], np.random.default_rng(1)
    captions = list(source.captions())
    known = {word for text in captions for word in words_of(text)}
    for index in random.integers(len(source), size=500):
        picture = source.picture(int(index), 32, random)
        assert set(words_of(picture.caption)) <= known
    assert np.mean([named_background(text) is not None for text in captions]) > 0.7
    assert max(len(words_of(text)) for text in captions) <= 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Words("apple", "count", "fruit", (), "flat", ("red",)), "an apple"),
        (Words("unicorn", "count", "mammals", (), "flat", ("white",)), "a unicorn"),
        (Words("cherries", "plural", "fruit", (), "flat", ("red",)), "cherries"),
        (Words("bread", "mass", "meals", (), "flat", ("brown",)), "bread"),
        (Words("jeans", "pair", "clothing", (), "flat", ("blue",)), "a pair of jeans"),
        (Words("milky way", "the", "sky", (), "flat", ("blue",)), "the milky way"),
        (Words("mount fuji", "proper", "landscapes", (), "flat", ("blue",)), "mount fuji"),
    ],
)
def test_names_take_their_article(words: Words, expected: str) -> None:
    assert words.phrase() == expected


def test_templates_read_well() -> None:
    cherries = Words("cherries", "plural", "fruit", ("berry", "sweet"), "outlined", ("red", "green"))
    said = [caption(cherries, "navy", template, 0) for template in range(NUM_TEMPLATES)]
    assert "the cherries are red and green and the background is navy" in said
    assert "an outlined drawing of cherries on a navy background" in said
    assert "cherries, berry, sweet, navy background" in said
    assert len(set(said)) == NUM_TEMPLATES
    apple = Words("red apple", "count", "fruit", (), "flat", ("pink",))
    assert not any("pink" in caption(apple, "navy", template, 0) for template in range(NUM_TEMPLATES))


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("a light blue car on a pink background", "pink"),
        ("a white and gray goat on a light blue background", "light blue"),
        ("The background is mint green, the car is black.", "mint green"),
        ("a black cat on navy", "navy"),
        ("a red apple on a plain white ground", "white"),
        ("a black and white cat", None),
        ("a pink pig", None),
    ],
)
def test_named_background_reads_captions(text: str, ground: str | None) -> None:
    assert named_background(text) == ground


def test_grounds_are_far_apart() -> None:
    colors = lab(np.array(list(BACKGROUNDS.values()), np.float64))
    gaps = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 1000 * np.eye(len(colors))
    assert gaps.min() > 28


def test_background_of_survives_noise_and_a_touched_side() -> None:
    random = np.random.default_rng(0)
    for name, color in BACKGROUNDS.items():
        pixels = np.clip(np.array(color) + random.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
        pixels[:, :10] = (255, 0, 0)
        assert background_of(pixels) == name


def test_lab_of_known_colors() -> None:
    found = lab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255]], np.float64))
    expected = np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]])
    assert np.allclose(found, expected, atol=0.05)
