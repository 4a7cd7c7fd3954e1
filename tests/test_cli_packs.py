"""The commands that pack, index and verify, and training on packs."""

from pathlib import Path

import pytest

import photos_on_disk
from command_line import done, refused, sclgan
from runs import small_fields
from sclgan.data.packs.read import Packed
from sclgan.recipe import class_of
from sclgan.runs.opened import open_run
from test_data_packs_shards import sample, write
from tiny import arguments


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    root = photos_on_disk.birds(folder / "birds")
    done("data", "pack", "cub", "--root", root, "--size", 64, "--out", folder / "cub")
    return folder / "cub"


def test_a_pack_takes_the_place_of_a_recipes_data(packed, tmp_path):
    fields = small_fields("ssagan_emoji_scl", "pretraining.steps=1", "training.steps=1")
    ended = done("train", "ssagan_emoji_scl", *fields, "--data", packed, "--out", tmp_path / "run")
    assert "run in" in ended.out
    made = open_run(tmp_path / "run")
    assert class_of(made.recipe.source) is Packed  # in the run's recipe, for sampling and evaluating
    assert arguments(made.recipe.source) == {"root": str(packed)}
    line = refused("train", "ssagan_emoji_scl", *fields, "--out", tmp_path / "run")
    assert "source" in line
    assert "holds another run" in line
    done("sample", tmp_path / "run", "a bird with a red wing", "--num-images", 2, "--out", tmp_path / "bird.png")


def test_a_pack_is_shown_and_verified(packed, tmp_path):
    done("data", packed, "--out", tmp_path / "sheet.png", "--rows", 2, "--columns", 2)
    assert (tmp_path / "sheet.png").exists()
    assert "is as it was written" in done("data", "verify", packed).out
    index = packed / "index" / "test" / "keys.bin"
    content = index.read_bytes()
    index.write_bytes(b"x" + content[1:])
    try:
        ended = sclgan("data", "verify", packed)
        assert ended.code == 1
        assert "test: its content has changed" in ended.out
        assert "is not as it was written: 1 problem(s), listed above" in ended.err
    finally:
        index.write_bytes(content)


def test_photographs_are_packed_from_another_folder(tmp_path):
    root = photos_on_disk.birds(tmp_path / "elsewhere")
    done("data", "pack", "cub", "--root", root, "--size", 32, "--out", tmp_path / "cub")
    assert len(Packed("test", root=tmp_path / "cub")) == 4
    photos_on_disk.truncate(sorted((root / "CUB_200_2011" / "images").rglob("*.jpg"))[0])
    line = refused("data", "pack", "cub", "--root", root, "--size", 32, "--out", tmp_path / "other")
    assert "001.Black_footed_Albatross/Black_footed_Albatross_0000_0 is truncated" in line
    assert "--damaged skip" in line
    ended = done("data", "pack", "cub", "--root", root, "--size", 32, "--out", tmp_path / "third", "--damaged", "skip")
    assert "1 line(s) above say what was left out" in ended.err


def test_shards_are_indexed_in_place(tmp_path):
    for number in range(3):
        write(tmp_path / "web" / f"{number}.tar", {**sample(2 * number), **sample(2 * number + 1)})
    assert "indexed" in done("data", "index", tmp_path / "web", "--test", "2.tar").out
    assert Packed("test", root=tmp_path / "web").name == "web"


def test_mistakes_are_reported_in_one_line(packed, tmp_path):
    told = {
        ("data", "pack", "emoj", "--size", 64, "--out", tmp_path / "a"): "did you mean 'emoji'",
        ("data", "pack", "emoji", "--size", 64, "--out", tmp_path / "a", "--split", "val"): "has no split 'val'",
        ("data", "pack", "emoji", "--size", 0, "--out", tmp_path / "a"): "size is 0",
        ("data", "pack", "emoji", "--size", 64, "--root", tmp_path, "--out", tmp_path / "a"): "leave out --root",
        ("data", "pack", "emoji", "--size", 32, "--out", packed): "holds another pack",
        ("data", "index", tmp_path): "holds no shards",
        ("data", "index", packed): "is a pack and has its index",
        ("data", "verify", tmp_path): "has no dataset.json",
        ("train", "ssagan_emoji", "--data", tmp_path, "--out", tmp_path / "b"): "has no dataset.json",
        (
            "train",
            "ssagan_emoji",
            "--stream",
            "a.tar",
            "--out",
            tmp_path / "b",
        ): "--stream needs a pack for the vocabulary and the labels",
    }
    for command, words in told.items():
        assert words in refused(*command)
