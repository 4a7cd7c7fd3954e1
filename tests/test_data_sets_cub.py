"""The birds: the official layout, the published split, what is wrong with a copy."""

import logging
import pickle
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import photos_on_disk
from photos_on_disk import BIRDS, PER_CLASS
from sclgan.data.captions import words_of
from sclgan.data.sets.cub import Cub
from sclgan.data.sets.photographs import decoded, framed
from sclgan.data.sources import source
from sclgan.data.types import NamedClasses, Source
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.runs.records import read_metrics
from sclgan.train import training
from tiny import tiny

KEY = "001.Black_footed_Albatross/Black_footed_Albatross_0002_2"


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    return photos_on_disk.birds(tmp_path_factory.mktemp("data") / "birds")


@pytest.fixture
def copy(birds, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(birds, tmp_path / "birds"))


def test_the_splits_are_disjoint_by_classes(birds):
    train, test = Cub("train", root=birds), Cub("test", root=str(birds))
    assert isinstance(train, Source)
    assert (train.name, train.split, len(train), len(test)) == ("cub", "train", 2 * PER_CLASS, PER_CLASS)
    assert (train.label_names, test.label_names) == (
        ("Black footed Albatross", "Sooty Albatross"),
        ("Laysan Albatross",),
    )
    assert isinstance(test, NamedClasses)
    assert test.class_captions == ("a photo of a Laysan Albatross, a type of bird",)
    assert train.labels == ((0,),) * PER_CLASS + ((1,),) * PER_CLASS
    assert test.labels == ((0,),) * PER_CLASS
    assert train.keys[2] == KEY
    assert {key.partition("/")[0] for key in train.keys} == set(BIRDS["train"])


def test_a_picture_is_cropped_about_the_bird_and_has_one_of_its_captions(birds):
    train = Cub("train", root=birds)
    file = birds / "CUB_200_2011" / "images" / f"{KEY}.jpg"
    picture = train.picture(2, 32, np.random.default_rng(0), augment=False)
    np.testing.assert_array_equal(picture.pixels, framed(decoded(file, photos_on_disk.CUB_BOX), 32, None))
    assert picture.pixels.shape == (32, 32, 3)
    said = {train.picture(2, 8, np.random.default_rng(seed)).caption for seed in range(100)}
    assert said == set((birds / "text" / f"{KEY}.txt").read_text().splitlines())
    assert said <= set(train.captions())
    assert len(list(train.captions())) == 10 * len(train)


def test_another_number_of_images_is_told(birds, caplog):
    Cub("train", root=birds)
    assert "8 images of 2 classes, the published split has 8855 of 150" in caplog.text


def test_the_folder_text_c10_will_do(tmp_path):
    assert len(Cub("test", root=photos_on_disk.birds(tmp_path, text="text_c10"))) == PER_CLASS


def test_captions_without_a_word_are_left_out_and_counted(copy, caplog):
    (copy / "text" / f"{KEY}.txt").write_bytes(b"a red bird\n\n . \na \xff\xfeblue bird\n")
    with caplog.at_level(logging.WARNING):
        train = Cub("train", root=copy)
    assert train.rows[2].captions == ("a red bird", "a  blue bird")
    assert "2 captions hold no word" in caplog.text


def test_without_the_data_one_error_says_what_to_get_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        source("cub", "train")
    for part in ("cub lacks 7 of 7 files", "data.caltech.edu/records/65de6-vp158", "data/birds/CUB_200_2011",
                 "github.com/taoxugit/AttnGAN", "data/birds/train/filenames.pickle", "source.root"):  # fmt: skip
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def replaced(path: str, old: str, new: str):
    def damage(root: Path) -> None:
        text = (root / path).read_text()
        assert re.search(old, text, re.MULTILINE)
        (root / path).write_text(re.sub(old, new, text, flags=re.MULTILINE))

    return damage


def pickled(path: str, values: bytes | list[str] | list[int]):
    content = values if isinstance(values, bytes) else photos_on_disk.python2_pickle(values)
    return lambda root: (root / path).write_bytes(content)


class Surprise:
    def __reduce__(self):
        return print, ("a pickle may call what it names",)


NAMES = "train/filenames.pickle"
INFO = "train/class_info.pickle"
WRONG = {
    "no picture": (lambda root: (root / f"CUB_200_2011/images/{KEY}.jpg").unlink(), rf"lacks 1 of 16.*{KEY}\.jpg"),
    "no text": (lambda root: (root / f"text/{KEY}.txt").unlink(), rf"lacks 1 of 16 files.*{KEY}\.txt"),
    "no list": (lambda root: (root / "CUB_200_2011/classes.txt").unlink(), r"lacks 1 of 7 files.*classes\.txt"),
    "no metadata": (lambda root: (root / NAMES).unlink(), r"lacks 1 of 7 files.*filenames\.pickle.*in a browser"),
    "no caption": (lambda root: (root / f"text/{KEY}.txt").write_text("\n. \n"), rf"{KEY}\.txt holds no caption"),
    "no box": (replaced("CUB_200_2011/bounding_boxes.txt", r"^3 .*\n", ""), rf"bounding_boxes.* no line 3, for {KEY}"),
    "half a box": (replaced("CUB_200_2011/bounding_boxes.txt", "^3 .*", "3 1.0 2.0"), rf"gives {KEY} the .*'1.0 2.0'"),
    "an infinite box": (replaced("CUB_200_2011/bounding_boxes.txt", "^3 .*", "3 1 2 inf 4"), "the bounding box"),
    "an empty box": (replaced("CUB_200_2011/bounding_boxes.txt", "^3 .*", "3 1 2 0 4"), "the bounding box"),
    "no label": (replaced("CUB_200_2011/image_class_labels.txt", r"^3 .*\n", ""), "image_class_labels.* no line 3"),
    "no class": (replaced("CUB_200_2011/classes.txt", r"^3 .*\n", ""), r"classes\.txt has no line 3, for class 3"),
    "no number": (replaced("CUB_200_2011/images.txt", "^4 ", "four "), r"line 4 of .*images\.txt is 'four"),
    "an unknown name": (pickled(NAMES, ["001.A/b"]), "names 1 images that images.txt does not have, such as '001.A/b'"),
    "a name twice": (pickled(NAMES, [KEY, KEY]), "names 1 images more than once"),
    "numbers for names": (pickled(NAMES, [1, 2]), "must hold a list of names"),
    "nothing": (pickled(NAMES, b""), r"filenames\.pickle is not a whole pickle file"),
    "half a pickle": (pickled(NAMES, photos_on_disk.python2_pickle([KEY])[:-9]), "is not a whole pickle file"),
    "a call": (pickled(NAMES, pickle.dumps(Surprise(), protocol=2)), "which is not plain data"),
    "a call in the classes": (pickled(INFO, pickle.dumps([Surprise()], protocol=2)), "which is not plain data"),
    "other classes": (pickled(INFO, [1, 1, 1, 1, 3, 3, 3, 1]), "does not group its 8 images"),
    "fewer classes": (pickled(INFO, [1, 1]), "does not group its 2 images"),
    "a split by images": (
        pickled("test/filenames.pickle", [KEY]),
        r"1 classes are in both .* such as 001\.Black_footed_Albatross",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_copy_is_one_clear_error(copy, name, capsys):
    damage, message = WRONG[name]
    damage(copy)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Cub("train", root=copy)
    assert capsys.readouterr().out == ""


def test_a_truncated_picture_is_named_when_it_is_read(copy):
    photos_on_disk.truncate(copy / "CUB_200_2011" / "images" / f"{KEY}.jpg")
    train = Cub("train", root=copy)
    with pytest.raises(ValueError, match=rf"{KEY}\.jpg is truncated"):
        train.picture(2, 32, np.random.default_rng(0))


def test_class_info_may_be_absent(copy):
    (copy / INFO).unlink()
    assert len(Cub("train", root=copy)) == 2 * PER_CLASS


def test_an_unknown_split_is_refused(birds):
    with pytest.raises(ValueError, match="take one of train, test"):
        Cub("validation", root=birds)


def test_the_method_trains_on_birds_in_both_phases(birds, tmp_path):
    """SSA-GAN's row at a tiny size; Lite0 with its weights stands in for Inception-v3."""
    made = override(
        recipe("ssagan_cub_scl"),
        [f"source.root={birds}", "image_size=32", "pretraining.image_size=48"],
    )
    encoders = partial(DAMSM, backbone=partial(Lite0, image_size=32), code_size=256)
    training.train(tiny(replace(made, encoders=encoders)), tmp_path / "run")
    records = [*read_metrics(tmp_path / "run" / "pretraining"), *read_metrics(tmp_path / "run")]
    assert records[0]["step"] == 0
    assert {"words", "contrast"} <= records[1].keys()
    assert {"g/contrast", "d/magp"} <= records[-1].keys()
    assert records[-1]["pairs/with_partner"] == 1


def captions_pickle(root: Path, *, without: int = 0) -> None:
    """Puts captions.pickle in the place of the text folder, as AttnGAN writes it; `without` captions of the test."""
    words: dict[str, int] = {"<end>": 0}
    both = [
        [
            [words.setdefault(w, len(words)) for w in words_of(c)]
            for row in Cub(split, root=root).rows
            for c in row.captions
        ]
        for split in ("train", "test")
    ]
    both[1] = both[1][without:]
    content = [*both, {number: word for word, number in words.items()}, words]
    shutil.rmtree(root / "text")
    (root / "captions.pickle").write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("split", ["train", "test"])
def test_captions_may_come_from_the_pickle_of_the_metadata(birds, copy, split):
    captions_pickle(copy)
    found, expected = Cub(split, root=copy), Cub(split, root=birds)
    assert [[words_of(c) for c in row.captions] for row in found.rows] == [
        [words_of(c) for c in row.captions] for row in expected.rows
    ]
    assert found.keys == expected.keys


def test_a_pickle_of_other_captions_is_refused(copy):
    captions_pickle(copy, without=1)
    Cub("train", root=copy)
    with pytest.raises(ValueError, match=r"captions\.pickle does not hold the captions of \d+ test images"):
        Cub("test", root=copy)
    (copy / "captions.pickle").write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match=r"captions\.pickle .*print"):
        Cub("train", root=copy)
