"""The tables beside a user's pictures, in Hugging Face's convention: metadata.jsonl, .csv or .parquet.

They have a row per picture. A table is decoded, parsed and checked row by row; a problem is reported with its line.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sclgan.data.captions import words_of
from sclgan.data.printable import printable, shortened
from sclgan.data.sets.own.rows import EXAMPLE, FIELDS, Fields, written_rows
from sclgan.data.text_lists import in_brackets, is_python_list, listed_value, looks_like_list

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Problem:
    """A problem, where it is, and what to do about it. Training fails on errors; notes are for information."""

    where: str
    what: str
    is_error: bool = True

    def __str__(self) -> str:
        return printable(f"{self.where}: {'error' if self.is_error else 'note'}: {self.what}")


@dataclass(frozen=True)
class Entry:
    """One sound row of a table, or one picture with its sidecar; `name` is relative to the table's folder.

    Labels that are equal but for space around them and their Unicode form are one; `written` are the row's as the file
    has them.
    """

    where: str
    name: str
    captions: tuple[str, ...]
    labels: tuple[str | int, ...]
    split: str | None
    written: tuple[str | int, ...] = ()


def read_table(path: Path, *, captions_needed: bool = True) -> tuple[list[Entry], list[Problem]]:
    """The sound rows of a table, and the problems of the others. Files are not looked for here."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    unknown: dict[str, str] = {}
    empty: list[str] = []
    python_lists: list[str] = []
    for where, row in written_rows(path):
        if isinstance(row, str):
            problems.append(Problem(where, row))
            continue
        if not any(_is_filled(value) for value in row.values()):
            empty.append(where)
            continue
        for name in row.keys() - set(FIELDS):
            unknown.setdefault(str(name), where)
        if path.suffix == ".csv":
            row = _without_empty_cells(row)
        if any(is_python_list(row.get(name)) for name in ("text", "captions", "label", "labels")):
            python_lists.append(where)
        entry, said = checked(where, row, captions_needed=captions_needed)
        problems += said
        if entry is not None:
            entries.append(entry)
    problems += [_unknown_field(where, name) for name, where in unknown.items() if name.strip()]
    if empty:
        problems.append(
            Problem(empty[0], f"{len(empty)} empty rows are left out, this being the first", is_error=False)
        )
    if python_lists:
        what = (
            f"captions or labels in {len(python_lists)} rows, this being the first, are lists as Python writes them, "
            'and are read as lists; other tools need JSON, ["a", "b"]'
        )
        problems.append(Problem(python_lists[0], what, is_error=False))
    return entries, problems


def _without_empty_cells(row: Fields) -> Fields:
    """The row of a CSV table without its empty cells; those of the columns that every row needs are kept."""
    needed = ("file_name",) if _is_filled(row.get("captions")) else ("file_name", "text")
    return {name: cell for name, cell in row.items() if name in needed or _is_filled(cell)}


def checked(where: str, row: Fields, *, captions_needed: bool = True) -> tuple[Entry | None, list[Problem]]:
    """A row as an entry, None where it is unsound; and its problems."""
    said: list[Problem] = []
    row = {name: None if _is_nan(value) else value for name, value in row.items()}

    def wrong(what: str, is_error: bool = True) -> None:
        said.append(Problem(where, what, is_error))

    name = _name(row.get("file_name"), wrong)
    has_captions = any(row.get(name) is not None for name in ("text", "captions"))
    captions = _captions(row, wrong) if captions_needed or has_captions else ()
    written = _labels(row, wrong)
    labels = tuple(dict.fromkeys(map(as_label, written)))
    if len(labels) < len(written):
        wrong(f"labels {shortened(list(written))} name one label twice: it counts once", is_error=False)
    split = row.get("split")
    if split is not None and split not in SPLITS:
        wrong(f'split is {split!r}: expected "train" or "test", which is what is held out')
    if any(problem.is_error for problem in said):
        return None, said
    return Entry(where, name, captions, labels, split, written), said


def _name(name: Any, wrong: Callable[[str], None]) -> str:
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        given = "there is no file_name" if name is None else f"file_name is {name!r}"
        wrong(f"{given}: expected the picture's path below this folder, such as {EXAMPLE}")
        return ""
    path = PurePosixPath(name)
    if path.is_absolute() or name[1:3] in (":\\", ":/"):
        wrong(f"file_name {name!r} is absolute: write the path below the folder of the table, such as birds/1.png")
    elif ".." in path.parts:
        wrong(f"file_name {name!r} leaves the folder: put the picture below the folder of the table")
    elif "\\" in name:
        wrong(f"file_name {name!r} has backslashes: write {name.replace(chr(92), '/')!r}")
    return str(path)


def _captions(row: Fields, wrong: Callable[..., None]) -> tuple[str, ...]:
    given = [name for name in ("text", "captions") if row.get(name) is not None]
    if len(given) != 1:
        missing = f'there is no caption: add "captions", such as {EXAMPLE}'
        wrong("text and captions are both given: keep one" if given else missing)
        return ()
    value = listed_value(row[given[0]])
    texts = [value] if isinstance(value, str) else value
    if isinstance(value, str) and looks_like_list(value):
        wrong(f'{given[0]} is {shortened(value)}, which looks like a list: {_LIST} ["a bird", "a red bird"]')
        return ()
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        wrong(f'{given[0]} is {shortened(value)}: expected a sentence, or a list of sentences ["a bird", "a red bird"]')
        return ()
    kept = tuple(text.strip() for text in texts if words_of(text))
    if not kept:
        what = "is empty" if not any(text.strip() for text in texts) else "has no word"
        wrong(f"{given[0]} {shortened(value)} {what}: write what the picture shows")
    elif len(kept) < len(texts):
        wrong(f"{len(texts) - len(kept)} of {len(texts)} captions hold no word and are left out", is_error=False)
    for text in kept:
        if len(text.splitlines()) > 1 or (in_brackets(text) and "," in text):
            wrong(
                f'{given[0]} {shortened(text)} is read as one caption: {_LIST} ["a bird", "a red bird"]', is_error=False
            )
    return kept


_LIST = "several captions or labels are a list in JSON, such as"


def _is_filled(value: Any) -> bool:
    """Whether a cell holds something: None, blank text and the number NaN are the empty cells of tables."""
    return bool(value.strip()) if isinstance(value, str) else value is not None and not _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _labels(row: Fields, wrong: Callable[[str], None]) -> tuple[str | int, ...]:
    """The labels of a row as they are written; whole numbers such as 3.0 become 3."""
    given = [name for name in ("label", "labels") if row.get(name) is not None]
    if len(given) == 2:
        wrong("label and labels are both given: keep one")
    if len(given) != 1:
        return ()
    value = listed_value(row[given[0]])
    labels = value if given[0] == "labels" else [value]
    if isinstance(labels, list):
        labels = [int(one) if isinstance(one, float) and one.is_integer() else one for one in labels]
    if not isinstance(labels, list) or not all(map(_is_label, labels)):
        expected = 'a name or a whole number, such as "cardinal"'
        if given[0] == "labels":
            expected = 'a list of names or of whole numbers, the most important first, such as ["cardinal", "tree"]'
        wrong(f"{given[0]} is {shortened(value)}: expected {expected}")
        return ()
    return tuple(labels)


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and not (looks_like_list(value) or value.strip()[0] == "[")
    return isinstance(value, int) and not isinstance(value, bool)


def as_label(written: str | int) -> str | int:
    """The label that is meant: without space around it, in one Unicode form; the text 3.0 of a spreadsheet is 3."""
    if not isinstance(written, str):
        return written
    return re.sub(r"^(\d+)\.0+$", r"\1", unicodedata.normalize("NFC", written).strip())


def _unknown_field(where: str, name: str) -> Problem:
    """A field near a known one is a mistyped one, and training would miss its content; any other is not read."""
    nearest = difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.75)
    if nearest:
        return Problem(where, f"there is no field {name!r}: did you mean {nearest[0]!r}? Rename it in every row")
    return Problem(where, f"field {name!r} is not read, here and below; read are {', '.join(FIELDS)}", is_error=False)
