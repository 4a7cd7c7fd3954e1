"""Folders at the edges of what is sensible, through the commands: few pictures, gaps in tables, unusual captions."""

import json
import struct
from pathlib import Path

import pytest
import torch

from command_line import done, refused, sclgan
from photos_on_disk import photograph, table
from runs import newest_weights, small_fields
from sclgan.data.sets.own.source import Folder

PLAIN, SCL = "ssagan_folder", "ssagan_folder_scl"
FIELDS = ("pretraining.batch_size=2", "training.batch_size=2", "training.grid_every=0")


def pictures(root: Path, number: int) -> list[dict[str, object]]:
    """A folder of that many pictures, and its rows."""
    for seed in range(number):
        photograph(root / f"{seed}.jpg", 40, 36, seed=seed)
    return [{"file_name": f"{n}.jpg", "captions": [f"a kite number{n % 2}"], "label": "kite"} for n in range(number)]


def train(root: Path, out: Path, name: str = PLAIN) -> dict[str, torch.Tensor]:
    """The weights of two steps on the folder."""
    fields = (*small_fields(name), *FIELDS, f"source.root={root}", "image_size=32")
    done("train", name, *fields, "--out", out)
    return newest_weights(out)


def test_three_pictures_in_all_are_checked_trained_on_and_evaluated(tmp_path):
    rows = pictures(tmp_path / "own", 3)
    table(tmp_path / "own" / "metadata.jsonl", rows)
    said = done("data", "check", tmp_path / "own", "--image-size", 32).out
    assert "3 usable pictures (train 2, test 1; a tenth held out by a hash of the file name)" in said
    weights = train(tmp_path / "own", tmp_path / "run")
    assert all(bool(weight.isfinite().all()) for weight in weights.values() if weight.is_floating_point())
    assert "the held-out split has 1" in refused("evaluate", tmp_path / "run", "--protocol", "kid_lite0")
    done("sample", tmp_path / "run", "a kite", "--num-images", 1, "--out", tmp_path / "kite.png")


def test_one_held_out_picture_is_enough_to_train_and_told_in_an_evaluation(tmp_path):
    rows = pictures(tmp_path / "own", 8)
    for number, row in enumerate(rows):
        row["split"] = "test" if number == 5 else "train"
    table(tmp_path / "own" / "metadata.jsonl", rows)
    assert "(train 7, test 1; by the column split)" in done("data", "check", tmp_path / "own", "--image-size", 32).out
    train(tmp_path / "own", tmp_path / "run")
    ended = sclgan("evaluate", tmp_path / "run", "--protocol", "fd_lite0", "--num-images", 4)
    assert ended.code == 1
    assert "fd_lite0 compares with 2 or more real pictures, and the held-out split has 1: add pictures" in ended.err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt"])
def test_gaps_in_tables_are_skipped_and_counted_except_at_the_end(kind, tmp_path):
    rows = pictures(tmp_path, 4)
    names = [str(row["file_name"]) for row in rows]
    if kind == "csv":
        cells = [f"{name},a kite,kite" for name in names]
        lines = ["file_name,captions,label", cells[0], ",,", *cells[1:3], "", " , ,", cells[3], ",,", "", ""]
    else:
        whole = [json.dumps(row) for row in rows]
        lines = [whole[0], "", *whole[1:3], "  ", "{}", whole[3], "", ""]
    if kind == "txt":
        for name in names:
            (tmp_path / name).with_suffix(".txt").write_text("\n a kite \n\n\na red kite\n\n\n")
    else:
        (tmp_path / f"metadata.{kind}").write_text("\n".join(lines))
    said = done("data", "check", tmp_path, "--image-size", 32).out
    assert "4 usable pictures" in said
    assert "0 errors" in said
    if kind == "txt":
        assert Folder("train", root=tmp_path).rows[0].captions == ("a kite", "a red kite")
        assert "captions: 2.0 per picture" in said
    else:
        first, number = (3, 4) if kind == "csv" else (2, 3)
        assert f"metadata.{kind}:{first}: note: {number} empty rows are left out, this being the first" in said


def test_whole_numbers_with_a_point_are_the_same_labels(tmp_path):
    rows = pictures(tmp_path / "own", 12)
    for number, row in enumerate(rows):
        row["label"] = float(number % 3) if number % 2 else number % 3
    table(tmp_path / "own" / "metadata.jsonl", rows)
    said = done("data", "check", tmp_path / "own", "--image-size", 32).out
    assert "labels: 3 in training" in said
    assert Folder("train", root=tmp_path / "own").label_names == ("0", "1", "2")
    train(tmp_path / "own", tmp_path / "run", SCL)
    cells = "".join(f"{number}.jpg,a kite,{number % 3}.0\n" for number in range(12))
    (tmp_path / "own" / "metadata.jsonl").unlink()
    (tmp_path / "own" / "metadata.csv").write_text("file_name,captions,label\n" + cells)
    assert Folder("train", root=tmp_path / "own").label_names == ("0", "1", "2")


def test_a_caption_may_begin_with_a_dash(tmp_path):
    rows = pictures(tmp_path / "own", 4)
    for row in rows:
        row["captions"] = ["- a kite", "--a red kite"]
    table(tmp_path / "own" / "metadata.jsonl", rows)
    assert (
        "captions: 2.0 per picture, of 2 to 3 words" in done("data", "check", tmp_path / "own", "--image-size", 32).out
    )
    train(tmp_path / "own", tmp_path / "run")
    drawn: list[bytes] = []
    for captions in (("- a kite", "--a red kite"), ("--", "-kite"), ("a kite", "a red kite")):
        out = tmp_path / f"{len(drawn)}.png"
        done("sample", tmp_path / "run", "--num-images", 1, "--out", out, *captions)
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_warning_of_the_decoder_names_the_file_once(tmp_path, caplog):
    rows = pictures(tmp_path, 4)
    table(tmp_path / "metadata.jsonl", rows)
    for name in ("1.jpg", "2.jpg"):
        content = (tmp_path / name).read_bytes()
        block = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12"
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        (tmp_path / name).write_bytes(content[:2] + segment + content[2:])
    for _ in range(2):
        ended = done("data", "check", tmp_path, "--image-size", 32)
        assert "UserWarning" not in ended.err
    said = [message for message in caplog.messages if "Corrupt EXIF data" in message]
    assert sorted(message.partition(":")[0] for message in said) == [
        str(tmp_path / name) for name in ("1.jpg", "2.jpg")
    ]
