"""A user's folder of pictures as rows: its layout, which picture belongs to which row, which rows are held out.

`sclgan data check` and training both read a folder by this, so that what the check accepts is what training gets.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sclgan.data.captions import words_of
from sclgan.data.sets.own.split import with_splits
from sclgan.data.sets.own.table import EXAMPLE, NAMES, SPLITS, Entry, Problem, checked, read_table

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Contents:
    """What a folder holds. `layout` and `how_split` are for people."""

    rows: tuple[Entry, ...]
    """In order; `name` is relative to the folder, `split` is "train" or "test"."""
    problems: tuple[Problem, ...]
    layout: str
    how_split: str

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.is_error]


def read(root: Path) -> Contents:
    """The rows of a folder, and everything that is wrong with it but for the pictures' content.

    root/metadata.jsonl (or .csv, .parquet)        root/{train,test}/metadata.jsonl       a table, names relative to it
    root/LABEL/PICTURE.jpg with PICTURE.txt        root/{train,test}/LABEL/...             a caption a line; no table

    Rows are held out as `with_splits` says.
    Folders that are links are not followed.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: set source.root to the folder of your pictures")
    parts = {"": root}
    both = all((root / split).is_dir() for split in SPLITS)
    if both and not _tables(root):
        parts = {f"{split}/": root / split for split in SPLITS}
    rows: list[Entry] = []
    problems = _half_a_split(root)
    layouts = []
    for prefix, part in parts.items():
        found, wrong, layout = _read_part(part)
        rows += [
            replace(row, where=f"{prefix}{row.where}", name=f"{prefix}{row.name}", split=row.split or prefix[:-1])
            for row in found
        ]
        problems += [replace(problem, where=f"{prefix}{problem.where}") for problem in wrong]
        layouts.append(f"{prefix}{layout}")
    rows, how_split, wrong = with_splits(rows, root, by_folder=both)
    problems += wrong
    problems += _across_rows(rows, problems)
    return Contents(tuple(rows), tuple(problems), " and ".join(layouts), how_split)


def _half_a_split(root: Path) -> list[Problem]:
    """One of the folders train and test alone would otherwise be read as a label."""
    there = [split for split in SPLITS if (root / split).is_dir()]
    if len(there) != 1 or _tables(root):
        return []
    missing = next(split for split in SPLITS if split not in there)
    what = f"there is no folder {missing} beside it: make one, or move what is in {there[0]} one folder up"
    return [Problem(f"{there[0]}/", what)]


def _tables(part: Path) -> list[Path]:
    return [part / name for name in NAMES if (part / name).is_file()]


def _read_part(part: Path) -> tuple[list[Entry], list[Problem], str]:
    """The entries of one folder with a table or with sidecars; each names a picture that is there, once."""
    files = list(_files(part))
    pictures = [name for name in files if PurePosixPath(name).suffix.lower() in PICTURES]
    tables = _tables(part)
    misplaced = [name for name in files if "/" in name and PurePosixPath(name).name in NAMES]
    what = f"the table is not read: write one {NAMES[0]} into the top folder, with paths from there"
    problems = [Problem(name, what) for name in misplaced]
    if not tables:
        misnamed = [name for name in files if name.lower().startswith("metadata.")]
        what = f"the file is not read: tables are called {', '.join(NAMES)}, and .jsonl has an object a line"
        problems += [Problem(name, what) for name in misnamed]
        entries, wrong = _sidecars(part, pictures)
        return entries, problems + wrong, "folders with .txt captions"
    problems += [Problem(path.name, f"{tables[0].name} is read instead: keep one table") for path in tables[1:]]
    entries, wrong = read_table(tables[0])
    problems += wrong
    kept, wrong = _with_pictures(entries, pictures)
    named = {entry.name for entry in entries}
    # A row that is unsound may have named any of them.
    if not any(problem.is_error for problem in problems):
        problems += [
            Problem(name, f"the picture is in no row of {tables[0].name}, and is not used", is_error=False)
            for name in pictures
            if name not in named
        ]
    return kept, problems + wrong, tables[0].name


def _files(part: Path) -> Iterable[str]:
    """Every file below a folder, by its path from there; hidden ones and macOS's own left out."""
    for folder, folders, names in os.walk(part):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name).relative_to(part).as_posix()


def _with_pictures(entries: Sequence[Entry], pictures: Sequence[str]) -> tuple[list[Entry], list[Problem]]:
    """The entries whose picture is there and that name it first."""
    there = set(pictures)
    composed = {unicodedata.normalize("NFC", name): name for name in pictures}
    similar = {PurePosixPath(name).name.lower(): name for name in pictures} | {name.lower(): name for name in pictures}
    kept, problems = [], []
    first: dict[str, str] = {}
    for entry in entries:
        name = entry.name
        if name not in there:  # an accent may be a letter's own or a mark on it: systems differ in how they write it
            name = composed.get(unicodedata.normalize("NFC", name), name)
            entry = replace(entry, name=name)
        if name in first:
            what = f"{name!r} is named again, first in {first[name]}: keep one row, with all captions in a list"
        elif PurePosixPath(name).suffix.lower() not in PICTURES:
            what = f"{name!r} is no picture: expected one of {', '.join(PICTURES)}"
        elif name not in there:
            near = similar.get(name.lower()) or similar.get(PurePosixPath(name).name.lower())
            what = f"there is no picture {name!r}: " + (
                f"did you mean {near!r}?" if near else "add it or remove the row"
            )
        else:
            kept.append(entry)
            first[name] = entry.where
            continue
        first.setdefault(name, entry.where)
        problems.append(Problem(entry.where, what))
    return kept, problems


def _sidecars(part: Path, pictures: Sequence[str]) -> tuple[list[Entry], list[Problem]]:
    """Pictures whose captions stand in a .txt beside them, a line each; the folder they lie in is their label."""
    kept, problems = [], []
    for name in pictures:
        sidecar = PurePosixPath(name).with_suffix(".txt")
        try:
            lines = (part / sidecar).read_bytes().removeprefix(b"\xef\xbb\xbf").decode().splitlines()
        except FileNotFoundError:
            what = f"the picture has no caption: write {sidecar.name} beside it, or a {NAMES[0]} with {EXAMPLE}"
            problems.append(Problem(name, what))
            continue
        except UnicodeDecodeError:
            problems.append(Problem(str(sidecar), "the file is not UTF-8 text: save it with the encoding UTF-8"))
            continue
        label = str(PurePosixPath(name).parent)
        captions = [line for line in lines if line.strip()] or [""]
        row = {"file_name": name, "captions": captions} | ({"label": label} if label != "." else {})
        entry, said = checked(str(sidecar), row)
        problems += said
        kept += [entry] if entry is not None else []
    return kept, problems


def _across_rows(rows: Sequence[Entry], before: Sequence[Problem]) -> list[Problem]:
    """What is wrong with the rows together."""
    in_split = {split: [row for row in rows if row.split == split] for split in SPLITS}
    if empty := [split for split in SPLITS if not in_split[split]]:
        what = f"no usable picture is left for {' and '.join(empty)}"
        if not before and not rows:
            what = f"there is no picture: put some here, with captions in {NAMES[0]} or in .txt files beside them"
        elif not any(problem.is_error for problem in before):
            what += ": both splits need some, test being held out to see what was learnt"
        return [Problem(".", what)]
    problems: list[Problem] = []
    kinds = Counter(type(label) for row in rows for label in row.labels)
    if len(kinds) > 1:
        rare = kinds.most_common()[-1][0]
        odd = next(row for row in rows if any(type(label) is rare for label in row.labels))
        what = f"label {odd.labels[0]!r} is a {_kind(rare)}, most are {_kind(kinds.most_common()[0][0])}s: use one kind"
        problems.append(Problem(odd.where, what))
    words = {word for row in in_split["train"] for caption in row.captions for word in words_of(caption)}
    for row in in_split["test"]:
        for caption in row.captions:
            if words.isdisjoint(words_of(caption)):
                what = f"no word of {caption!r} is in a training caption, so the text encoder cannot read it: reword it"
                problems.append(Problem(row.where, what))
    counts = Counter(label for row in in_split["train"] for label in row.labels)
    for row in in_split["train"]:
        alone = [label for label in row.labels if counts[label] == 1]
        if alone and len(alone) == len(row.labels):
            what = f"no other training picture has the label {alone[0]!r}: the method pairs this one with itself"
            problems.append(Problem(row.where, what, is_error=False))
    num_without = sum(not row.labels for row in rows)
    if 0 < num_without < len(rows):
        what = f"{num_without} of {len(rows)} pictures have no label: the method pairs each with itself"
        problems.append(Problem(".", what, is_error=False))
    return problems


def _kind(kind: type) -> str:
    return "number" if kind is int else "name"
