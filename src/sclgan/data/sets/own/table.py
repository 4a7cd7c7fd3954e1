"""The tables beside a user's pictures, in Hugging Face's convention: metadata.jsonl, .csv or .parquet, a row a picture.

A table is a stranger's file: it is decoded, parsed and checked row by row, and what is wrong is said with its line.
"""

import csv
import difflib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sclgan.data.captions import words_of

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
FIELDS = ("file_name", "text", "captions", "label", "labels", "split")
SPLITS = ("train", "test")
EXAMPLE = '{"file_name": "1.png", "text": "a red bird", "label": "cardinal"}'


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do. Training fails on errors; notes are only worth knowing."""

    where: str
    what: str
    is_error: bool = True

    def __str__(self) -> str:
        said = f"{self.where}: {'error' if self.is_error else 'note'}: {self.what}"
        # File names may hold anything, and a terminal obeys some of it.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)


@dataclass(frozen=True)
class Entry:
    """One sound row of a table, or one picture with its sidecar; `name` is relative to the table's folder."""

    where: str
    name: str
    captions: tuple[str, ...]
    labels: tuple[str | int, ...]
    split: str | None


Fields = dict[str, Any]


def read_table(path: Path, *, captions_needed: bool = True) -> tuple[list[Entry], list[Problem]]:
    """The sound rows of a table, and what is wrong with the others. Files are not looked for here."""
    kind = path.suffix
    reader = {".jsonl": _json_lines, ".csv": _csv_rows, ".parquet": _parquet_rows}[kind]
    entries: list[Entry] = []
    problems: list[Problem] = []
    unknown: dict[str, str] = {}
    for where, row in reader(path):
        if isinstance(row, str):
            problems.append(Problem(where, row))
            continue
        for name in row.keys() - set(FIELDS):
            unknown.setdefault(str(name), where)
        if kind == ".csv":
            row = _without_empty_cells(row)
        entry, said = checked(where, row, captions_needed=captions_needed)
        problems += said
        if entry is not None:
            entries.append(entry)
    problems += [_unknown_field(where, name) for name, where in unknown.items()]
    return entries, problems


def checked(where: str, row: Fields, *, captions_needed: bool = True) -> tuple[Entry | None, list[Problem]]:
    """A row as an entry, None where it is unsound; and what is wrong with it."""
    said: list[Problem] = []

    def wrong(what: str, is_error: bool = True) -> None:
        said.append(Problem(where, what, is_error))

    name = _name(row.get("file_name"), wrong)
    has_captions = any(row.get(name) is not None for name in ("text", "captions"))
    captions = _captions(row, wrong) if captions_needed or has_captions else ()
    labels = _labels(row, wrong)
    split = row.get("split")
    if split is not None and split not in SPLITS:
        wrong(f'split is {split!r}: expected "train" or "test", which is what is held out')
    if any(problem.is_error for problem in said):
        return None, said
    return Entry(where, name, captions, labels, split), said


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
        missing = f'there is no caption: add "text" or "captions", such as {EXAMPLE}'
        wrong("text and captions are both given: keep one" if given else missing)
        return ()
    value = row[given[0]]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        wrong(f'{given[0]} is {_shown(value)}: expected a sentence, or a list of sentences ["a bird", "a red bird"]')
        return ()
    kept = tuple(text.strip() for text in texts if words_of(text))
    if not kept:
        what = "is empty" if not any(text.strip() for text in texts) else "has no word of latin letters or digits"
        wrong(f"{given[0]} {_shown(value)} {what}: write what the picture shows")
    elif len(kept) < len(texts):
        wrong(f"{len(texts) - len(kept)} of {len(texts)} captions hold no word and are left out", is_error=False)
    return kept


def _labels(row: Fields, wrong: Callable[[str], None]) -> tuple[str | int, ...]:
    given = [name for name in ("label", "labels") if row.get(name) is not None]
    if len(given) == 2:
        wrong("label and labels are both given: keep one")
    if len(given) != 1:
        return ()
    value = row[given[0]]
    labels = value if given[0] == "labels" else [value]
    if not isinstance(labels, list) or not all(map(_is_label, labels)):
        expected = 'a name or a whole number, such as "cardinal"'
        if given[0] == "labels":
            expected = 'a list of names or of whole numbers, the most important first, such as ["cardinal", "tree"]'
        wrong(f"{given[0]} is {_shown(value)}: expected {expected}")
        return ()
    if len(set(labels)) < len(labels):
        wrong(f"labels {_shown(value)} name one label twice: name it once")
    return tuple(label.strip() if isinstance(label, str) else label for label in labels)


def _is_label(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)


def _unknown_field(where: str, name: str) -> Problem:
    """A field near a known one is a mistyped one, and training would miss what it says; any other is not read."""
    nearest = difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.75)
    if nearest:
        return Problem(where, f"there is no field {name!r}: did you mean {nearest[0]!r}? Rename it in every row")
    return Problem(where, f"field {name!r} is not read, here and below; read are {', '.join(FIELDS)}", is_error=False)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """(file:line, text), or None for a line that is not UTF-8. A byte-order mark is left out."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            try:
                yield f"{path.name}:{number}", content.decode()
            except UnicodeDecodeError:
                yield f"{path.name}:{number}", None


_NOT_UTF8 = "the line is not UTF-8 text: save the file with the encoding UTF-8"


def _json_lines(path: Path) -> Iterator[tuple[str, Fields | str]]:
    for where, line in _lines(path):
        if line is None:
            yield where, _NOT_UTF8
        elif line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, f"the line is no JSON ({error}): expected one object a line, such as {EXAMPLE}"
                continue
            yield where, row if isinstance(row, dict) else f"the line holds no object: expected one such as {EXAMPLE}"


def _csv_rows(path: Path) -> Iterator[tuple[str, Fields | str]]:
    lines = list(_lines(path))
    if broken := [where for where, line in lines if line is None]:
        yield from ((where, _NOT_UTF8) for where in broken)
        return
    rows = csv.reader(io.StringIO("".join(line or "" for _, line in lines), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "file_name" not in header:
            hint = "separate cells by commas" if any(";" in name or "\t" in name for name in header) else "name it so"
            found = _shown(",".join(header))
            yield f"{path.name}:1", f"no column is called file_name in {found}: {hint}, such as file_name,text,label"
            return
        before = rows.line_num
        for cells in rows:
            where, before = f"{path.name}:{before + 1}", rows.line_num
            if cells and len(cells) != len(header):
                yield where, f'{len(cells)} cells, the header has {len(header)}: put text with commas into "quotes"'
            elif cells:
                yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        yield f"{path.name}:{rows.line_num}", f"the line is no CSV ({error}): export the table again"


def _without_empty_cells(row: Fields) -> Fields:
    """Cells as the fields that they stand for: an empty one is no label; several values are a list in JSON."""
    fields = {name: cell for name, cell in row.items() if cell.strip() or name in ("file_name", "text")}
    for name in ("captions", "labels"):
        with suppress(ValueError, RecursionError):  # as text it is one caption, and refused as labels
            fields |= {name: json.loads(fields[name])} if name in fields else {}
    return fields


def _parquet_rows(path: Path) -> Iterator[tuple[str, Fields | str]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        yield path.name, "reading parquet needs pyarrow: pip install 'sclgan[parquet]', or write metadata.jsonl instead"
        return
    number = 0
    try:
        for batch in ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name}:{number}", row
    except (ArrowException, OSError, ValueError) as error:
        yield f"{path.name}:{number + 1}", f"the file is no parquet, or damaged ({error}): write it again"
