"""The check of a user's own folder: each mistake with its line, and training that refuses or reads the same."""

import os
import random
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

import photos_on_disk
from own_folders import BAD, both, changed, csv, line, rows_of, told
from photos_on_disk import OWN, table
from sclgan.data.sets.own.files import read
from sclgan.data.sets.own.source import Folder

# What can be wrong. Each: what to do to the rows or to the folder, what the check says, whether training would fail.


def together(*changes):
    return lambda root: [change(root) for change in changes]


def every(**fields):
    """All rows changed by functions of their number and of themselves."""

    def change(root: Path) -> None:
        rows = [row | {k: f(i, row) for k, f in fields.items()} for i, row in enumerate(rows_of(root))]
        table(root / "metadata.jsonl", [{k: v for k, v in row.items() if v is not None} for row in rows])

    return change


def extra(root: Path) -> None:
    shutil.copy(root / BAD, root / "kite" / "extra.jpg")


ERRORS = {
    "missing picture": (changed(file_name="kite/9.jpg"), "metadata.jsonl:4: error: there is no picture 'kite/9.jpg'"),
    "picture of another case": (changed(file_name="kite/3.JPG"), "4: error: .* did you mean 'kite/3.jpg'"),
    "picture without its folder": (changed(file_name="boat3.jpg"), "4: error: there is no picture 'boat3.jpg'"),
    "no picture": (
        changed(file_name="kite/3.pdf"),
        "4: error: 'kite/3.pdf' is not a picture that is read: expected an ending such as .jpg",
    ),
    "empty caption": (changed(captions=[""]), r"4: error: captions \[''\] is empty: write what the picture shows"),
    "no words": (changed(captions="?!"), r"4: error: captions '\?!' has no word: write what the picture shows"),
    "captions as NumPy prints them": (
        changed(captions="['a' 'b']"),
        "4: error: captions is .*, which looks like a list",
    ),
    "text that is half a list": (
        changed(captions='["a", ' + "'b]"),
        "4: error: captions is .*, which looks like a list",
    ),
    "label that is a list": (changed(label="[kite, boat]"), r"4: error: label is '\[kite, boat\]': expected a name"),
    "two columns of one name": (
        csv("file_name,text,text\nkite/1.jpg,a,b"),
        "metadata.csv:1: error: several columns are called text: keep one",
    ),
    "no caption": (changed(captions=None), '4: error: there is no caption: add "captions", such as {"file_n'),
    "two captions": (changed(text="a kite"), "4: error: text and captions are both given: keep one"),
    "caption of a wrong type": (changed(captions=3), "4: error: captions is 3: expected a sentence, or a list"),
    "captions of a wrong type": (changed(captions=["a", 3]), "4: error: captions is .*: expected a sentence"),
    "mistyped field": (changed(lable="kite"), "4: error: there is no field 'lable': did you mean 'label'"),
    "caption for captions": (
        every(captions=lambda *_: None, caption=lambda *_: "a kite"),
        "1: error: there is no field 'caption': did you mean 'captions'",
    ),
    "label of a wrong type": (changed(label=1.5), "4: error: label is 1.5: expected a name or a whole number"),
    "label true": (changed(label=True), "4: error: label is True: expected a name or a whole number"),
    "empty label": (changed(label=" "), "4: error: label is ' ': expected a name"),
    "labels of a wrong type": (changed(label=None, labels="kite, boat"), "4: error: labels is .* expected a list of"),
    "label and labels": (changed(labels=["kite"]), "4: error: label and labels are both given: keep one"),
    "names and numbers": (changed(label=3), "4: error: label 3 is a number, most are names: use one kind"),
    "a number among names": (changed(label=None, labels=["kite", 3]), "4: error: label 3 is a number, most are names"),
    "duplicate": (changed(file_name="kite/2.jpg"), "4: error: 'kite/2.jpg' is named again, first in metadata.jsonl:3"),
    "no name": (changed(file_name=None), "4: error: there is no file_name: expected the picture's path"),
    "a number for a name": (changed(file_name=3), "4: error: file_name is 3: expected the picture's path"),
    "a name with a zero": (changed(file_name="a\0.jpg"), r"4: error: file_name is 'a\\x00.jpg'"),
    "absolute": (changed(file_name="/etc/passwd.png"), "4: error: file_name '/etc/passwd.png' is absolute"),
    "absolute on Windows": (changed(file_name="C:\\a.png"), "4: error: file_name .* is absolute"),
    "backslashes": (changed(file_name="kite\\3.jpg"), "4: error: file_name .* has backslashes: write 'kite/3.jpg'"),
    "outside": (changed(file_name="../own/kite/3.jpg"), "4: error: file_name '../own/kite/3.jpg' leaves the folder"),
    "not UTF-8": (line(b'{"file_name": "kite/3.jpg", "text": "caf\xe9"}'), "4: error: the line is not UTF-8 text"),
    "no JSON": (
        line(b"{'file_name': 'kite/3.jpg'}"),
        "4: error: the line is not JSON .*: expected one object per line",
    ),
    "no object": (line(b'["kite/3.jpg", "a kite"]'), "4: error: the line is not an object"),
    "bottomless": (line(b"[" * 100_000), "4: error: the line is not JSON"),
    "unknown split": (changed(split="val"), '4: error: split is \'val\': expected "train" or "test"'),
    "some split": (changed(split="test"), "metadata.jsonl:1: error: the row has no split, others have one"),
    "nothing held out": (every(split=lambda *_: "train"), "error: no usable picture is left for test: both splits"),
    "nothing to train on": (every(split=lambda *_: "test"), "error: no usable picture is left for train"),
    "a held-out caption without a known word": (
        every(
            split=lambda i, row: "test" if i == 3 else "train", captions=lambda i, row: "zeppelin" if i == 3 else "a"
        ),
        "4: error: no word of 'zeppelin' is in a training caption",
    ),
    "a table in a subfolder": (
        lambda root: shutil.copy(root / "metadata.jsonl", root / "kite"),
        "kite/metadata.jsonl: error: the table is not read",
    ),
    "two tables": (
        lambda root: (root / "metadata.csv").write_text("file_name,text"),
        "metadata.csv: error: metadata.jsonl is read instead: keep one table",
    ),
    "a table of another name": (
        lambda root: (root / "metadata.jsonl").rename(root / "metadata.json"),
        "metadata.json: error: the file is not read: tables are called metadata.jsonl, metadata.csv",
    ),
    "no table and no captions": (
        lambda root: (root / "metadata.jsonl").unlink(),
        r"kite/3.jpg: error: the picture has no caption: write 3.txt beside it, or a metadata.jsonl",
    ),
    "sidecar that is not UTF-8": (
        together(
            lambda root: (root / "metadata.jsonl").unlink(),
            lambda root: (root / "kite/3.txt").write_bytes(b"caf\xe9"),
        ),
        "kite/3.txt: error: the file is not UTF-8 text",
    ),
    "empty sidecar": (
        together(lambda root: (root / "metadata.jsonl").unlink(), lambda root: (root / "kite/3.txt").write_text(" \n")),
        "kite/3.txt: error: captions .* is empty",
    ),
    "train without test": (
        together(lambda root: (root / "metadata.jsonl").unlink(), lambda root: (root / "train").mkdir()),
        "train/: error: there is no folder test beside it",
    ),
    "an empty folder": (
        lambda root: (shutil.rmtree(root), root.mkdir()),
        "error: there is no picture: put some here, with captions in metadata.jsonl",
    ),
    "csv without file_name": (csv("name,text\n1.png,a"), "metadata.csv:1: error: no column is called file_name"),
    "csv with semicolons": (csv("file_name;text\n1.png;a"), "metadata.csv:1: error: .*: separate cells by commas"),
    "csv with a comma in text": (
        csv("file_name,text\nkite/1.jpg,a kite, red"),
        'metadata.csv:2: error: 3 cells, the header has 2: put text with commas into "quotes"',
    ),
    "csv with an open quote": (
        csv('file_name,text\nkite/1.jpg,"a kite'),
        "metadata.csv:.*: error: the line is not CSV",
    ),
    "csv not UTF-8": (
        together(csv(""), lambda root: (root / "metadata.csv").write_bytes(b"file_name,text\nkite/1.jpg,caf\xe9\n")),
        "metadata.csv:2: error: the line is not UTF-8",
    ),
    "csv with labels that are no list": (
        csv("file_name,text,labels\nkite/1.jpg,a kite,kite;boat\n"),
        "metadata.csv:2: error: labels is 'kite;boat': expected a list of names",
    ),
    "csv with an empty caption": (csv("file_name,text\nkite/1.jpg,\n"), "metadata.csv:2: error: text '' is empty"),
    "empty csv": (csv(""), "metadata.csv:1: error: no column is called file_name"),
}

NOTES = {
    "unknown field": (changed(width=80), "metadata.jsonl:4: note: field 'width' is not read, here and below"),
    "picture in no row": (extra, "kite/extra.jpg: note: the picture is in no row of metadata.jsonl, and is not used"),
    "an empty caption of several": (changed(captions=["", "a kite"]), "4: note: 1 of 2 captions hold no word"),
    "a label twice": (
        changed(label=None, labels=["kite", "kite"]),
        "4: note: labels .* name one label twice: it counts once",
    ),
    "a caption of two lines": (changed(captions="a kite\na boat"), "4: note: captions .* is read as one caption"),
    "a caption in brackets": (changed(captions="[a kite, a boat]"), "4: note: captions .* is read as one caption"),
    "a label alone": (changed(label="glider"), "4: note: no other training picture has the label 'glider'"),
    "a picture without a label": (
        changed(label=None),
        "note: 1 of 18 pictures have no label, such as kite/3.jpg: the method",
    ),
    "too small": (
        lambda root: photos_on_disk.photograph(root / BAD, 40, 20),
        "4: note: kite/3.jpg has 40 x 20 pixels and is enlarged to 32",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_wrong_is_said_with_its_line_and_training_refuses_it_too(name, own):
    change, message = ERRORS[name]
    change(own)
    lines = told(own)
    problems = "\n".join(line for line in lines if ": error: " in line)
    assert re.search(message, problems), lines
    assert "training would fail" in lines[-1]
    with pytest.raises(ValueError, match=r"cannot be read: .*sclgan data check"):
        Folder("train", root=own)


@pytest.mark.parametrize("name", NOTES)
def test_what_is_only_odd_is_noted_and_trained_on(name, own):
    change, message = NOTES[name]
    change(own)
    lines = told(own)
    (found,) = [line for line in lines if ": note: " in line]
    assert re.search(message, found)
    assert lines[-1] == "0 errors, 1 notes: training reads this folder"
    assert len(Folder("train", root=own)) > 10


def test_no_folder_says_how_to_name_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder data/pictures: set source\.root"):
        Folder("train")
    with pytest.raises(ValueError, match="take one of train, test"):
        Folder("val", root=tmp_path)


def test_a_stranger_s_rows_never_leave_the_folder(own):
    """Whatever a table names, only pictures that were listed below the folder are opened."""
    outside = own.parent / "secret.png"
    Image.new("RGB", (40, 40)).save(outside)
    names = ["../secret.png", str(outside), "kite/../../secret.png", "./../secret.png", "kite/./../../secret.png"]
    table(own / "metadata.jsonl", [{"file_name": name, "text": "a"} for name in names])
    contents = read(own)
    assert contents.rows == ()
    assert len(contents.errors) == len(names) + 1


def test_names_that_are_no_text_are_read_and_printed_without_harm(own):
    strange = own / os.fsdecode(b"kite/caf\xe9\x1b[2J\n.jpg")
    shutil.copy(own / BAD, strange)
    (found,) = [line for line in told(own) if ": note: " in line]
    assert found.startswith("kite/caf\\udce9\\x1b[2J\\n.jpg: note: the picture is in no row")
    found.encode()
    (own / "metadata.jsonl").unlink()
    for name in [*OWN, strange.relative_to(own)]:
        (own / name).with_suffix(".txt").write_text("a kite")
    assert strange.relative_to(own).as_posix() in {key for source in both(own) for key in source.keys}


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_whatever_bytes_a_table_holds_it_is_read_or_refused_with_its_line(kind, own):
    csv("file_name,text,labels\n" + "".join(f'{name},a thing,"[""x""]"\n' for name in OWN))(own)
    if kind == "jsonl":
        (own / "metadata.csv").unlink()
        table(own / "metadata.jsonl", [{"file_name": n, "text": c} for n, (_, c) in OWN.items()])
    path = own / f"metadata.{kind}"
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 3, 30))):
            place = draw.randrange(len(content))
            content[place : place + draw.choice((0, 1, 9))] = draw.choice(
                (b"", b"\0", b"\xff", b'"', b"[", b"1", b"\n", b"{")
            )
        path.write_bytes(content)
        problems = read(own).problems
        assert all(problem.where.startswith((path.name, ".", *(name for name in OWN))) for problem in problems)
