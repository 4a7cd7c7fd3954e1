"""The automatic split: copies stay together; the check names held-out pictures that are trained on."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from photos_on_disk import photograph, table
from sclgan.data.sets.own.check import check
from sclgan.data.sets.own.source import Folder
from sclgan.data.sets.own.split import _SAMPLE, copies


def test_copies_are_files_of_equal_bytes_and_not_of_equal_size(tmp_path):
    long = bytes(3 * _SAMPLE)
    contents = {"b": b"one", "a": b"one", "c": b"two", "d": long, "e": b"x" + long[1:], "f": long, "g": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "h").symlink_to(tmp_path / "b")
    assert copies(tmp_path, [*contents, "h", "absent"]) == {"b": "a", "h": "a", "f": "d"}


@pytest.mark.parametrize("seed", range(3))
def test_all_copies_of_a_picture_are_on_one_side(seed, tmp_path):
    rows = []
    for picture in range(8):
        photograph(tmp_path / "first.jpg", 12, 12, seed=100 * seed + picture)
        for number in range(4):
            rows.append({"file_name": f"{picture}_{number}.jpg", "text": "a thing"})
            shutil.copy(tmp_path / "first.jpg", tmp_path / f"{picture}_{number}.jpg")
    (tmp_path / "first.jpg").unlink()
    table(tmp_path / "metadata.jsonl", rows)
    train, test = ({key[0] for key in Folder(split, root=tmp_path).keys} for split in ("train", "test"))
    assert train | test == set("01234567")
    assert not train & test
    report = check(tmp_path, image_size=8, max_words=18)
    (note,) = map(str, report.problems)
    assert note.startswith(".: note: 24 pictures are copies of others, byte for byte, such as '0_1.jpg' of '0_0.jpg'")


def test_a_held_out_picture_that_is_trained_on_is_named_in_whatever_format(tmp_path: Path):
    for number in range(3):
        photograph(tmp_path / f"{number}.jpg", 12, 12, seed=number)
    with Image.open(tmp_path / "0.jpg") as image:
        image.convert("RGB").save(tmp_path / "again.png")
    splits = {"0.jpg": "train", "1.jpg": "train", "2.jpg": "test", "again.png": "test"}
    table(tmp_path / "metadata.jsonl", [{"file_name": n, "text": "a thing", "split": s} for n, s in splits.items()])
    report = check(tmp_path, image_size=8, max_words=18)
    (note,) = map(str, report.problems)
    assert note.startswith("metadata.jsonl:4: note: the held-out picture 'again.png' is the same picture as '0.jpg'")
