"""COCO: the published layout, the order of labels, what is wrong with a copy; and the recipes of photographs."""

import json
import logging
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import photos_on_disk
from photos_on_disk import THINGS
from sclgan.data.captions import Vocabulary, words_of
from sclgan.data.labels import RULES
from sclgan.data.pairs import PairedBatches
from sclgan.data.sets.coco import Coco
from sclgan.data.sets.photographs import decoded, framed
from sclgan.data.sources import sizes, source
from sclgan.data.types import Source
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.inception import InceptionTrunk
from sclgan.encoders.lite0 import Lite0
from sclgan.recipe import class_of
from sclgan.recipe_fields import override
from sclgan.recipe_json import from_json, to_json
from sclgan.recipes import RECIPES, recipe
from sclgan.runs.records import read_metrics
from sclgan.train import training
from sclgan.train.batches import training_batches
from tiny import arguments, tiny

PERSON, CAT, TOOTHBRUSH = range(3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    return photos_on_disk.scenes(tmp_path_factory.mktemp("data") / "coco")


@pytest.fixture
def copy(scenes, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(scenes, tmp_path / "coco"))


def test_both_splits_in_the_order_of_their_numbers(scenes):
    train, test = Coco("train", root=scenes), Coco("test", root=str(scenes))
    assert isinstance(train, Source)
    assert (train.name, train.split, len(train), len(test)) == ("coco", "train", len(THINGS), len(THINGS))
    assert train.keys[:2] == ("COCO_train2014_000000000009", "COCO_train2014_000000000025")
    assert test.keys[0] == "COCO_val2014_000000000009"
    assert train.label_names == ("person", "cat", "toothbrush")


def test_labels_are_in_the_order_of_their_total_area(scenes):
    """Two cats of 50 and 40 outweigh a person of 60; of equals the first category; a picture without a thing has none.

    As numbers the categories are in the order of their ids.
    """
    labels = Coco("train", root=scenes).labels
    assert labels[:5] == ((CAT, PERSON), (TOOTHBRUSH,), (), (PERSON, TOOTHBRUSH), (TOOTHBRUSH,))
    assert labels[5:] == ((CAT,), (PERSON,), (CAT,))


def test_2017_is_read_beside_2014(scenes, tmp_path, caplog):
    photos_on_disk.scenes(tmp_path, year=2017)
    made = override(recipe("attngan_coco"), [f"source.root={tmp_path}", "source.year=2017"])
    train = made.source("train")
    assert train.keys[0] == "000000000009"
    assert train.labels == Coco("train", root=scenes).labels
    assert "8 images, train2017 has 118287" in caplog.text
    with pytest.raises(FileNotFoundError, match=r"annotations_trainval2014\.zip"):
        Coco("train", root=tmp_path)
    with pytest.raises(ValueError, match="takes one of 2014, 2017, not '2015'"):
        override(recipe("attngan_coco"), ["source.year=2015"])


def test_images_without_a_caption_are_left_out_and_counted(copy, caplog):
    edit(copy, "captions", without_captions_of_9)
    train = Coco("train", root=copy)
    assert len(train) == len(train.labels) == len(train.keys) == 7
    assert train.keys[0].endswith("25")
    assert train.labels[0] == (TOOTHBRUSH,)
    assert "1 images without a caption are left out" in caplog.text
    assert "val2014" not in caplog.text


def test_long_captions_are_thinned_in_training_and_not_in_evaluation(scenes):
    """`A photo number 9 of things in a park` has nine words; the row reads four of them, in order."""
    made = override(tiny(recipe("attngan_coco")), [f"source.root={scenes}", "image_size=32", "max_words=4"])
    source = made.source("train")
    vocabulary = Vocabulary.of(source.captions(), max_words=4)
    batches = training_batches(made, source, vocabulary, made.training, None)
    assert isinstance(batches, PairedBatches)
    read = []
    for step in range(12):
        captions = batches[step].views[0].captions
        assert captions.tokens.equal(batches[step].views[0].captions.tokens)
        for tokens, length in zip(captions.tokens, captions.lengths, strict=True):
            read.append(" ".join(vocabulary.words[int(token) - 1] for token in tokens[:length]))
    whole = [words_of(caption) for caption in source.captions()]
    assert all(any(is_subsequence(text.split(), words) for words in whole) for text in read)
    assert {len(text.split()) for text in read} == {4}
    assert len({text for text in read if not text.startswith("a photo number")}) > 5
    assert not training_batches(
        replace(made, long_captions="truncate"), source, vocabulary, made.training, None
    ).thin_to


def is_subsequence(words: list[str], of: list[str]) -> bool:
    rest = iter(of)
    return all(word in rest for word in words)


def test_a_picture_is_its_file_with_one_of_its_captions(scenes):
    train = Coco("train", root=scenes)
    picture = train.picture(1, 32, np.random.default_rng(0), augment=False)
    file = scenes / "train2014" / "COCO_train2014_000000000025.jpg"
    np.testing.assert_array_equal(picture.pixels, framed(decoded(file), 32, None))
    said = {train.picture(1, 8, np.random.default_rng(seed)).caption for seed in range(60)}
    assert len(said) == 5
    assert all(caption.startswith("A photo number 25 of") and caption.endswith(".") for caption in said)
    assert len(list(train.captions())) == 5 * len(train)


def test_counts_are_told(scenes, caplog):
    with caplog.at_level(logging.INFO):
        Coco("test", root=scenes)
    assert "1 of 8 images have no label" in caplog.text
    assert "8 images, val2014 has 40504" in caplog.text


def test_captions_without_a_word_are_left_out_and_counted(copy, caplog):
    edit(copy, "captions", lambda content: content["annotations"][0].update(caption=" \n"))
    train = Coco("train", root=copy)
    assert len(train.rows[-1].captions) == 4
    assert "1 captions hold no word" in caplog.text


def test_without_the_data_one_error_says_what_to_get_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        source("coco", "train")
    for part in ("coco lacks 2 of 2 files", "annotations_trainval2014.zip", "train2014.zip", "cocodataset.org",
                 "data/coco/annotations", "source.root"):  # fmt: skip
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert sizes("coco") == "not here (coco lacks 2 of 2 files): `sclgan data coco` says what to get"
    assert sizes("emoji").startswith("train ")


def edit(root: Path, kind: str, change) -> None:
    path = root / "annotations" / f"{kind}_train2014.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def without_captions_of_9(content) -> None:
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] != 9]


WRONG = {
    "no picture": (
        lambda root: (root / "train2014/COCO_train2014_000000000009.jpg").unlink(),
        r"coco lacks 1 of 8 files: .*000000000009\.jpg; get ",
    ),
    "no instances": (
        lambda root: (root / "annotations/instances_train2014.json").unlink(),
        r"lacks 1 of 2 files: .*instances_train2014\.json",
    ),
    "half a file": (
        lambda root: photos_on_disk.truncate(root / "annotations/instances_train2014.json"),
        r"instances_train2014\.json is not an annotation file of COCO.*unpack",
    ),
    "another file": (
        lambda root: (root / "annotations/captions_train2014.json").write_text("[]"),
        r"captions_train2014\.json is not an annotation file of COCO",
    ),
    "no caption": (
        lambda root: edit(root, "captions", lambda content: content["annotations"].clear()),
        "holds no caption of any image",
    ),
    "a caption that is no text": (
        lambda root: edit(root, "captions", lambda content: content["annotations"][0].update(caption=3)),
        "a caption is not text",
    ),
    "a path for a name": (
        lambda root: edit(root, "captions", lambda content: content["images"][0].update(file_name="../x.jpg")),
        "no plain file names",
    ),
    "a category without a name": (
        lambda root: edit(root, "instances", lambda content: content["categories"].pop()),
        "category 90 of image .* has no name",
    ),
    "no area": (
        lambda root: edit(root, "instances", lambda content: content["annotations"][0].pop("area")),
        r"KeyError\('area'\)",
    ),
    "instances of other images": (
        lambda root: edit(root, "instances", lambda content: content["annotations"][0].update(image_id=5)),
        "1 images that .* does not have, such as 5",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_copy_is_one_clear_error(copy, name):
    damage, message = WRONG[name]
    damage(copy)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Coco("train", root=copy)


def test_a_truncated_picture_is_named_when_it_is_read(copy):
    photos_on_disk.truncate(copy / "train2014" / "COCO_train2014_000000000025.jpg")
    with pytest.raises(ValueError, match=r"000000000025\.jpg is truncated"):
        Coco("train", root=copy).picture(1, 32, np.random.default_rng(0))


def test_an_unknown_split_or_rule_is_refused(scenes):
    with pytest.raises(ValueError, match="take one of train, test"):
        Coco("val2014", root=scenes)
    with pytest.raises(
        ValueError, match="takes one of shared, dominant, exact, weighted, attributes, itself, not 'all'"
    ):
        override(recipe("attngan_coco"), ["label_rule=all"])


@pytest.mark.parametrize("rule", RULES)
def test_the_method_trains_on_coco_with_pictures_that_have_no_label(rule, scenes, tmp_path):
    """AttnGAN's row at a tiny size; Lite0 with its weights stands in for Inception-v3."""
    made = override(
        recipe("attngan_coco_scl"),
        [f"source.root={scenes}", "image_size=64", "pretraining.image_size=48", f"label_rule={rule}"],
    )
    encoders = partial(DAMSM, backbone=partial(Lite0, image_size=32), code_size=256)
    training.train(tiny(replace(made, encoders=encoders)), tmp_path / "run")
    record = read_metrics(tmp_path / "run")[-1]
    assert {"g/contrast", "g/kl", "d/mismatched"} <= record.keys()


PHOTOGRAPHS = [
    name
    for name, row in ((name, make().row) for name, make in RECIPES.items())
    if row.data in ("cub", "coco") and row.gan != "galip"
]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_recipes_of_photographs_use_inception_at_the_size_it_was_made_for(name):
    made = recipe(name)
    backbone = arguments(made.encoders)["backbone"]
    assert class_of(backbone) is InceptionTrunk
    assert arguments(backbone) == {"weights": "imagenet", "align_corners": made.row.gan != "ssagan"}
    assert (made.image_size, made.pretraining.image_size) == (256, 299)
    assert arguments(made.encoders)["mask_same_label"] == (made.row.data == "cub")  # the authors have no labels on COCO
    assert made.long_captions == "thin"
    assert made.training.ema_decay == (0.0 if made.row.gan == "ssagan" else 0.999)
    assert to_json(tiny(made)) == to_json(from_json(to_json(tiny(made))))


def test_settings_of_the_codes():
    """batch, steps, the lambda of DAMSM's terms, words of a caption, generator's and discriminator's width."""
    table = {
        "attngan_cub": (20, 265_650, 5.0, 18, 32, 64),
        "dmgan_cub": (10, 708_400, 5.0, 18, 64, 32),
        "ssagan_cub": (24, 221_375, 0.05, 18, 64, 64),
        "attngan_coco": (14, 709_568, 50.0, 12, 48, 96),
        "dmgan_coco": (16, 1_034_787, 50.0, 12, 64, 32),
        "ssagan_coco": (24, 413_915, 0.05, 18, 64, 64),
    }
    for name, expected in table.items():
        made, widths = recipe(name), arguments(recipe(name).gan)
        training, nf = made.training, widths.get("nf")
        matching = training.generator_objective["sentence"]
        assert matching == training.generator_objective["words"]
        found = (training.batch_size, training.steps, matching, made.max_words)
        assert (*found, widths.get("ngf", nf), widths.get("ndf", nf)) == expected, name


@pytest.mark.parametrize(("name", "steps"), [("galip_cub", 25_976), ("galip_coco", 161_685)])
def test_galip_is_as_published_and_the_method_alone_fine_tunes(name, steps):
    made, method = recipe(name), recipe(f"{name}_scl")
    assert arguments(made.encoders) == {"weights": "openai", "trained": "norms_and_biases"}
    assert (made.image_size, made.max_words, arguments(made.gan)) == (224, 77, {"nf": 64, "z_dim": 100})
    training = made.training
    assert (training.steps, training.batch_size, training.ema_decay) == (steps, 512, 0.0)
    assert training.discriminator_objectives == ({"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0},)
    assert training.generator_objective == {"adv": 1.0, "similarity": 4.0}
    assert (training.generator_learning_rate, training.discriminator_learning_rate) == (1e-4, 4e-4)
    assert training.betas == (0.0, 0.9)
    assert (made.pretraining.steps, method.pretraining.steps > 0) == (0, True)
    assert method.pretraining.objective == {"infonce": 1.0, "contrast": 1.0}
    assert to_json(tiny(made)) == to_json(from_json(to_json(tiny(made))))


def test_recipes_are_in_the_order_of_the_tables():
    names = list(RECIPES)
    start = names.index("attngan_cub")
    variants = [f"attngan_cub_{ending}" for ending in ("2x", "cl", "ce", "unicl", "scl")]
    assert names[start : start + 7] == ["attngan_cub", *variants, "dmgan_cub"]
    assert list(dict.fromkeys(recipe(name).row.data for name in names)) == ["emoji", "scenes", "cub", "coco", "folder"]
    assert [name for name in names if name.endswith("coco")] == [
        f"{gan}_coco" for gan in ("attngan", "dmgan", "ssagan", "galip")
    ]
