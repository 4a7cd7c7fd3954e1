"""Models that ship are opened by name: what wins, what is near, what is damaged, and that they are graded."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sclgan
from command_line import APPLE, done, refused
from sclgan import models
from sclgan.files import sha256_of

DAMAGE = ("gone", "cut", "one bit")


@pytest.mark.usefixtures("shipped")
def test_sample_draws_with_a_model_by_its_name(evaluated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert done("sample", "emoji", APPLE, "--out", "apple.png", "--num-images", 2).out == "apple.png\n"
    done("sample", evaluated, APPLE, "--out", "run.png", "--num-images", 2)
    with Image.open("apple.png") as one, Image.open("run.png") as other:
        assert one.size == other.size == (2 * 66 + 2, 68)
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 2
    assert "has no checkpoint 'best': it has 6 alone" in refused(
        "sample", "emoji", APPLE, "--out", "b.png", "--checkpoint", "best"
    )


def test_a_folder_of_that_name_wins_and_this_is_said(shipped, evaluated, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert models.find("emoji") == shipped
    assert models.find(Path("emoji")) == shipped
    assert caplog.messages == []
    shutil.copytree(evaluated, "emoji")
    with caplog.at_level(logging.INFO):
        assert models.find("emoji") == Path("emoji")
    assert caplog.messages == ["emoji is a folder here, and is used instead of the model that comes with sclgan"]


def test_an_unknown_name_is_told_the_nearest_and_all(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped, shipped.parent / "scenes")
    said = refused("sample", "emojy", APPLE, "--out", "a.png")
    assert "emojy is not a run folder: there is no such folder, and no model of sclgan has that name" in said
    assert "did you mean 'emoji'? They are emoji, scenes" in said
    assert "did you mean 'emoji'?" in refused("evaluate", "emojy")
    Path("picture.png").touch()
    assert "picture.png is a file, not a run folder" in refused("sample", "picture.png", APPLE, "--out", "a.png")
    with pytest.raises(FileNotFoundError, match="did you mean 'scenes'"):
        sclgan.from_pretrained("scene")


def test_without_any_model_the_name_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "home", lambda: tmp_path)
    said = refused("sample", "emoji", APPLE, "--out", "a.png")
    assert "emoji is not a run folder: there is no such folder, and this version of sclgan comes with no model" in said


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *((file, how) for file in ("model.safetensors", "recipe.json", "vocabulary.json") for how in DAMAGE),
        *(("config.json", how) for how in DAMAGE if how != "gone"),  # without it a folder is no model
    ],
)
def test_a_damaged_model_says_what_is_damaged_and_to_reinstall(file, damage, shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = shipped / file
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[content.index(b'"step') + 1 if file == "config.json" else len(content) // 2] ^= 1
        path.write_bytes(content)
    said = refused("sample", "emoji", APPLE, "--out", "a.png")
    assert f"the model 'emoji' of sclgan is damaged: {file}" in said
    assert said.endswith("reinstall sclgan\n")
    assert not Path("a.png").exists()


def test_a_model_elsewhere_is_built_again(shipped, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(shipped, folder)
    (folder / "model.safetensors").unlink()
    said = refused("sample", folder, APPLE, "--out", tmp_path / "a.png")
    assert (
        f"the model in {folder} is damaged: model.safetensors is missing: fetch it, or publish its run, again" in said
    )


def test_evaluate_grades_a_model_and_leaves_the_package_as_it_is(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in shipped.iterdir())
    options = ("--num-images", 4, "--protocol", "background_accuracy", "--protocol", "r_precision_damsm")
    lines = done("evaluate", "emoji", *options).out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["background_accuracy@4", "r_precision_damsm@4"]
    assert sorted(path.name for path in shipped.iterdir()) == before
    done("evaluate", "emoji", *options, "--out", "records.jsonl")
    records = [json.loads(line) for line in Path("records.jsonl").read_text().splitlines()]
    assert [(record["recipe"], record["step"]) for record in records] == [("ssagan_emoji_scl", 6)] * 2
    assert records[1]["weights_sha256"] == sha256_of(shipped / "model.safetensors")
