"""Labels that are probably not what was meant are named by the check; equal ones are one."""

import unicodedata

import pytest

from sclgan.data.sets.own.check import _about_labels
from sclgan.data.sets.own.label_notes import label_notes
from sclgan.data.sets.own.table import Entry, checked

DECOMPOSED = unicodedata.normalize("NFD", "café")


def rows_of(*labels: object, where: str = "metadata.jsonl") -> list[Entry]:
    entries = []
    for number, label in enumerate(labels, start=1):
        row = {"file_name": f"{number}.jpg", "text": "a thing", "labels" if isinstance(label, list) else "label": label}
        entry, problems = checked(where if where.endswith(".txt") else f"{where}:{number}", row)
        assert entry is not None, problems
        entries.append(entry)
    return entries


def notes(*labels: object) -> list[str]:
    return [str(note) for note in label_notes(rows_of(*labels))]


def test_labels_that_look_alike_are_named_with_their_counts():
    (note,) = notes("kite", "Kite", "kite", "KITE", "boat")
    assert note.startswith(
        "metadata.jsonl:2: note: labels 'kite' (2 pictures), 'Kite' (1 pictures), 'KITE' (1 pictures)"
    )
    assert len(notes("red kite", "red_kite", "réd-kite")) == 1
    assert len(notes("3", "3.0")) == 1
    assert notes("kite", "boat", "-1", "1", 3, 30) == []


def test_equal_labels_in_two_unicode_forms_or_with_spaces_are_one_and_named():
    rows = rows_of("café", DECOMPOSED, " café")
    assert {row.labels for row in rows} == {("café",)}
    (note,) = notes("café", DECOMPOSED, " café")
    assert "label 'café' is written in 3 ways" in note
    assert "they are one label" in note


@pytest.mark.parametrize("label", ["nan", "None", "NULL", "N/A", "<NA>"])
def test_labels_of_missing_values_are_named(label):
    (note,) = notes("kite", label, label)
    assert note.startswith(f"metadata.jsonl:2: note: label {label!r} (2 pictures) looks like a missing value")


def test_whole_numbers_are_labels_and_nan_is_none():
    assert [row.labels for row in rows_of(3, 3.0, float("nan"), ["cat", "cat ", "dog"])] == [
        (3,),
        (3,),
        (),
        ("cat", "dog"),
    ]


def test_numbers_of_folders_are_named_as_labels_that_say_nothing():
    rows = [
        Entry(f"{n:05d}/{i}.txt", f"{n:05d}/{i}.jpg", ("a thing",), (f"{n:05d}",), None) for n in (0, 1) for i in (0, 1)
    ]
    (note,) = map(str, label_notes(rows))
    assert "the names of the folders that the pictures are in, which are numbers, '00000', '00001'" in note
    assert notes("00000", "00001") == []  # a table says what it means


def test_the_summary_says_where_labels_came_from_and_what_they_are_good_for():
    assert _about_labels(rows_of("kite", "kite", "boat")).startswith(
        "labels: 2 in training, from the table, 'kite', 'boat'"
    )
    assert "no two pictures share one" in _about_labels(rows_of("kite", "boat"))
    one = _about_labels(rows_of("pictures", "pictures", where="pictures/a.txt"))
    assert one.startswith("labels: all training pictures have the same label, 'pictures', from the names of folders")
    assert "_scl recipes need several" in one
