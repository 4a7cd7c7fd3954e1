"""Pictures of your own: every layout, what is held out, turned and transparent pictures, and all that can be wrong."""

import json
import os
import random
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import photos_on_disk
from own_folders import BAD, both, changed, csv, rows_of, told
from photos_on_disk import OWN, table
from sclgan.data.images import decode
from sclgan.data.sets.own.check import check
from sclgan.data.sets.own.files import read
from sclgan.data.sets.own.source import Folder
from sclgan.data.sets.photographs import framed
from sclgan.data.types import Source

# Layouts


def test_a_table_with_captions_and_labels(original):
    train, test = both(original)
    assert isinstance(train, Source)
    assert (train.name, len(train) + len(test), set(train.keys) | set(test.keys)) == ("folder", 18, set(OWN))
    assert train.label_names == test.label_names == ("boat", "kite", "lamp")
    for source in (train, test):
        for index, key in enumerate(source.keys):
            label, captions = OWN[key]
            assert [source.label_names[one] for one in source.labels[index]] == [label]
            drawn = {source.picture(index, 8, np.random.default_rng(i)).caption for i in range(20)}
            assert drawn == set(captions)
    picture = train.picture(0, 32, np.random.default_rng(0), augment=False)
    np.testing.assert_array_equal(picture.pixels, framed(decode(original / train.keys[0]), 32, None))
    assert sorted(train.captions()) == sorted(c for key in train.keys for c in OWN[key][1])
    words = {word for caption in train.captions() for word in caption.split()}
    assert told(original)[-5:] == [
        f"metadata.jsonl: 18 usable pictures (train {len(train)}, test {len(test)}; "
        "a tenth held out by a hash of the file name)",
        "labels: 3 in training, from the table, 'kite', 'lamp', 'boat', of 5 to 6 pictures; 0 pictures have several: "
        "_scl recipes can be trained",
        "captions: 2.0 per picture, of 5 to 5 words (median 5); 0 have more than 18, of which the first 18 are read",
        f"words: {len(words)} in training captions; 0 more in test captions, which are left out",
        "0 errors, 0 notes: training reads this folder",
    ]


def test_what_is_held_out_depends_on_the_name_alone(own):
    train, test = both(own)
    assert 0 < len(test) < 6
    rows = rows_of(own)
    random.Random(0).shuffle(rows)
    table(own / "metadata.jsonl", [row for row in rows if row["file_name"] != train.keys[0]])
    assert set(Folder("test", root=own).keys) == set(test.keys)


def test_a_tenth_is_held_out_of_many(tmp_path):
    for i in range(2000):
        Image.new("RGB", (2, 2), (i % 256, i // 256, 0)).save(tmp_path / f"{i}.jpg", "PNG")
    table(tmp_path / "metadata.jsonl", [{"file_name": f"{i}.jpg", "text": "a thing"} for i in range(2000)])
    train, test = both(tmp_path)
    assert len(train) + len(test) == 2000
    assert 150 < len(test) < 250


@pytest.mark.parametrize("layout", ["column", "folders", "one table for two folders"])
def test_a_split_by_column_or_by_folders(layout, own):
    rows = rows_of(own)
    split_of = {row["file_name"]: "test" if i % 3 == 0 else "train" for i, row in enumerate(rows)}
    if layout == "column":
        table(own / "metadata.jsonl", [row | {"split": split_of[row["file_name"]]} for row in rows])
        expected = dict(split_of)
    else:
        (own / "metadata.jsonl").unlink()
        for name, split in split_of.items():
            (own / split / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).rename(own / split / name)
        expected = {f"{split}/{name}": split for name, split in split_of.items()}
        moved = [row | {"file_name": f"{split_of[row['file_name']]}/{row['file_name']}"} for row in rows]
        if layout == "folders":
            for split in ("train", "test"):
                own_rows = [row for row in rows if split_of[row["file_name"]] == split]
                table(own / split / "metadata.jsonl", own_rows)
        else:
            table(own / "metadata.jsonl", moved)
    train, test = both(own)
    assert {key: source.split for source in (train, test) for key in source.keys} == expected
    assert train.label_names == ("boat", "kite", "lamp")


def test_a_folder_a_class_with_captions_beside_the_pictures(own):
    (own / "metadata.jsonl").unlink()
    for name, (_, captions) in OWN.items():
        (own / name).with_suffix(".txt").write_text("\n".join(captions) + "\n\n")
    (own / "._junk.jpg").write_bytes(b"junk of an archive")
    train, test = both(own)
    assert set(train.keys) | set(test.keys) == set(OWN)
    assert train.label_names == ("boat", "kite", "lamp")
    assert train.label_names[train.labels[0][0]] == OWN[train.keys[0]][0]
    assert set(train.captions()) == {c for key in train.keys for c in OWN[key][1]}
    flat = own.parent / "flat"
    flat.mkdir()
    for name in OWN:
        for file in ((own / name), (own / name).with_suffix(".txt")):
            shutil.copy(file, flat / f"{file.parent.name}_{file.name}")
    assert Folder("train", root=flat).labels[0] == ()  # pictures in no folder have no label
    assert "labels: none" in "\n".join(told(flat))


def test_csv_says_the_same_as_jsonl(own):
    lines = ["file_name,captions,label,split"]
    for name, (label, captions) in OWN.items():
        quoted = json.dumps(captions).replace('"', '""')
        lines.append(f'{name},"{quoted}",{label},{"test" if name.endswith("0.jpg") else "train"}')
    (own / "metadata.jsonl").unlink()
    (own / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())  # as a spreadsheet writes it
    train, test = both(own)
    assert set(test.keys) == {name for name in OWN if name.endswith("0.jpg")}
    assert sorted(train.captions()) == sorted(c for key in train.keys for c in OWN[key][1])
    assert train.label_names == ("boat", "kite", "lamp")


@pytest.mark.parametrize("written", [json.dumps, str], ids=["JSON", "Python"])
def test_a_list_in_a_cell_is_a_list_and_never_one_caption(written, own):
    lines = ["file_name,captions,labels", ",,"]
    for name, (label, captions) in OWN.items():
        cells = [str(value).replace('"', '""') for value in (name, written(captions), written([label, "thing"]))]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    csv("\n".join(lines))(own)
    for source in both(own):
        assert sorted(source.captions()) == sorted(c for key in source.keys for c in OWN[key][1])
        assert {len(labels) for labels in source.labels} == {2}
    problems = [line for line in told(own) if ": note: " in line]
    assert problems[0] == "metadata.csv:2: note: 1 empty rows are left out, this being the first"
    assert problems[1:] == [] if written is json.dumps else "lists as Python writes them" in problems[1]


def test_names_whose_accents_are_written_otherwise_are_found_once(own):
    composed, decomposed = (unicodedata.normalize(form, "kite/café.jpg") for form in ("NFC", "NFD"))
    (own / BAD).rename(own / decomposed)
    changed(file_name=composed)(own)
    assert decomposed in {key for source in both(own) for key in source.keys}
    assert told(own)[-1] == "0 errors, 0 notes: training reads this folder"
    assert len(read(own, for_training=False).rows) == 18


def test_words_that_are_not_read_are_counted_and_shown(own):
    changed(captions="one two three four five six seven eight nine ten")(own)
    summary = "\n".join(check(own, image_size=32, max_words=8).summary)
    expected = "1 have more than 8, of which the first 8 are read; 2 words are cut, such as 'nine', 'ten' from 'one two"
    assert expected in summary


def test_parquet_says_the_same_as_jsonl(own, original):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows_of(own)), own / "metadata.parquet")
    (own / "metadata.jsonl").unlink()
    train, same = Folder("train", root=own), Folder("train", root=original)
    assert (train.keys, train.labels) == (same.keys, same.labels)
    assert list(train.captions()) == list(same.captions())
    photos_on_disk.truncate(own / "metadata.parquet")
    assert "metadata.parquet:1: error: the file is not parquet, or is damaged" in told(own)[0]


def test_without_pyarrow_parquet_says_what_to_install(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (own / "metadata.jsonl").rename(own / "metadata.parquet")
    assert "pip install 'sclgan[parquet]'" in told(own)[0]


def test_labels_are_names_or_numbers_one_or_several_the_first_being_dominant(own):
    rows = rows_of(own)
    for i, row in enumerate(rows):
        row.pop("label")
        row["labels"] = [10, 2] if i % 2 else [2]
    table(own / "metadata.jsonl", rows)
    train = Folder("train", root=own)
    assert train.label_names == ("2", "10")
    assert set(train.labels) == {(0,), (1, 0)}


# Pictures


def test_pictures_are_read_as_a_viewer_shows_them(own):
    """Turned by EXIF, transparent parts white; what is packed is the file, and read in the same way."""
    wide = Image.new("RGB", (80, 40), "red")
    wide.paste("blue", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right: the left half goes up
    wide.save(own / "turned.jpg", exif=exif, quality=95)
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    clear.paste((0, 255, 0, 255), (0, 0, 20, 40))
    clear.save(own / "clear.png")
    clear.quantize(4).save(own / "palette.gif", transparency=0)
    names = ("turned.jpg", "clear.png", "palette.gif", "kite/0.jpg")
    table(
        own / "metadata.jsonl",
        [
            {"file_name": n, "text": "a thing", "split": s}
            for n, s in zip(names, ("train",) * 3 + ("test",), strict=True)
        ],
    )
    turned, clear_shown = decode(own / "turned.jpg"), np.array(decode(own / "clear.png"))
    assert turned.size == (40, 80)
    assert np.array(turned)[10, 20, 2] > 200
    assert np.array(turned)[70, 20, 0] > 200
    assert clear_shown[0, 0].tolist() == [0, 255, 0]
    assert clear_shown[0, 39].tolist() == [255, 255, 255]
    for source in both(own):
        for index, key in enumerate(source.keys):
            sample = source.sample(index)
            assert sample.image == (own / key).read_bytes()
            assert (sample.key, sample.split, sample.captions) == (key, source.split, ("a thing",))
            assert not sample.as_stored
            pixels = source.picture(index, 32, np.random.default_rng(0), augment=False).pixels
            np.testing.assert_array_equal(pixels, framed(decode(sample.image), 32, None))


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "32 bit", "gone"])
def test_a_damaged_picture_is_an_error_of_the_check_and_of_the_row_that_reads_it(damage, own):
    train = Folder("train", root=own)
    path = own / train.keys[0]
    if damage == "truncated":
        photos_on_disk.truncate(path)
    elif damage == "32 bit":
        Image.fromarray(np.full((40, 40), 0.5, np.float32)).save(path, "TIFF")
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"text" if damage == "text" else b"")
    expected = {"32 bit": "pixels of 32 bits", "gone": "there is no picture"}.get(damage, "truncated or not a picture")
    (line,) = [line for line in told(own) if ": error: " in line]
    assert line.startswith("metadata.jsonl:")
    assert train.keys[0] in line
    assert expected in line
    with pytest.raises((ValueError, FileNotFoundError)):
        train.picture(0, 32, np.random.default_rng(0))


# What is found and not used


def notes(root: Path) -> list[str]:
    return [line for line in told(root) if ": note: " in line]


def test_files_that_are_not_read_are_counted_and_named(own):
    for name in ("kite/1.json", "kite/2.json", "README.md", "kite/0.txt", "lamp/new.heic"):
        (own / name).write_text("{}")
    assert notes(own) == [
        ".: note: files that are not read, .json: 2 (kite/1.json, ...), .md: 1 (README.md), "
        ".txt: 1 (kite/0.txt), .heic: 1 (lamp/new.heic)"
    ]


def test_a_third_split_and_loose_pictures_beside_train_and_test_are_named(own):
    for split, kind in (("train", "kite"), ("test", "boat"), ("validation", "lamp")):
        (own / split).mkdir()
        (own / kind).rename(own / split / kind)
    for picture in own.rglob("*.jpg"):
        picture.with_suffix(".txt").write_text("a thing")
    shutil.copy(own / "train/kite/0.jpg", own / "loose.jpg")
    (own / "metadata.jsonl").unlink()
    said = notes(own)
    assert (
        ".: note: 1 pictures are not read, such as loose.jpg: where there are folders train and test, only" in said[0]
    )
    assert "validation/: note: 6 pictures are not read, such as validation/lamp/0.jpg" in said[1]
    assert ".txt: 6 (validation/lamp/0.txt, ...)" in said[2]
    (own / "test").rename(own / "testing")
    assert "there is no folder test beside it: rename validation, or move the content of train" in "\n".join(told(own))


def test_loose_pictures_beside_folders_of_classes_are_named(own):
    for name in OWN:
        (own / name).with_suffix(".txt").write_text("a thing")
    (own / "metadata.jsonl").unlink()
    for ending in ("jpg", "txt"):
        (own / "kite" / f"0.{ending}").rename(own / f"loose.{ending}")
    assert "1 of 18 pictures have no label, such as loose.jpg: the method pairs each with itself" in "\n".join(
        notes(own)
    )


@pytest.mark.parametrize("with_table", [True, False])
def test_a_class_that_is_a_link_is_read(with_table, own):
    shutil.move(own / "boat", own.parent / "shared")
    (own / "boat").symlink_to(own.parent / "shared")
    (own / "boat" / "up").symlink_to(own)
    if not with_table:
        (own / "metadata.jsonl").unlink()
        for name in OWN:
            (own / name).with_suffix(".txt").write_text("a thing")
    assert {key for source in both(own) for key in source.keys} == set(OWN)
    (note,) = notes(own)
    assert note.startswith("boat/up: note: the link leads to a folder that is read without it, or that holds this one")


def test_pipes_never_hang(own):
    os.mkfifo(own / "kite" / "pipe.jpg")
    (own / "lamp" / "endless.png").symlink_to("/dev/zero")
    assert [line.partition(":")[0] for line in notes(own)] == ["kite/pipe.jpg", "lamp/endless.png"]
    assert len(both(own)[0]) > 10
