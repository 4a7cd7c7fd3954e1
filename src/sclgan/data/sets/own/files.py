"""A user's folder of pictures as rows: its layout, which picture belongs to which row, which rows are held out.

Training, `sclgan data check` and the evaluation of folders all read a folder by `read`.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sclgan.data.captions import words_of
from sclgan.data.sets.own.listing import is_picture, list_folder, not_read
from sclgan.data.sets.own.rows import EXAMPLE, NAMES
from sclgan.data.sets.own.split import with_splits
from sclgan.data.sets.own.table import SPLITS, Entry, Problem, checked, read_table

OTHER_SPLITS = ("val", "valid", "validation", "dev", "eval")
"""Names that other tools give to a split; here they mean nothing."""


@dataclass(frozen=True)
class Contents:
    """The rows of a folder. `layout` and `how_split` are for people."""

    rows: tuple[Entry, ...]
    """In order; `name` is relative to the folder, `split` is "train" or "test"."""
    problems: tuple[Problem, ...]
    layout: str
    how_split: str

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.is_error]


def first_of(errors: Sequence[Problem], root: str | Path) -> str:
    """The first error, how many more there are, and the command that lists them."""
    more = f", and {len(errors) - 1} more are wrong" if len(errors) > 1 else ""
    return f"{errors[0]}{more}; `sclgan data check {root}` lists everything"


def read(root: Path, *, for_training: bool = True) -> Contents:
    """The rows of a folder, and everything that is wrong with it except the content of its pictures.

    root/metadata.jsonl (or .csv, .parquet)        root/{train,test}/metadata.jsonl       a table, names relative to it
    root/LABEL/PICTURE.jpg with PICTURE.txt        root/{train,test}/LABEL/...             a caption per line; no table

    Rows are held out as `with_splits` says. Every file that is found and not used is counted and named in a note.

    Where it is not for training, every picture is a row, whether or not it has captions and labels, and no row is held
    out: its split is None where nothing names one.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}: set source.root to the folder of your pictures")
    listing = list_folder(root)
    both = all((root / split).is_dir() for split in SPLITS)
    parts = [f"{split}/" for split in SPLITS] if both and not _tables("", listing.others) else [""]
    rows: list[Entry] = []
    problems = _half_a_split(root, listing.others) if for_training else []
    layouts = []
    unused: list[str] = []
    for prefix in parts:
        pictures, others = (
            [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
            for names in (listing.pictures, listing.others)
        )
        found, wrong, layout, left = _read_part(root / prefix, pictures, others, for_training)
        rows += [
            replace(
                row, where=f"{prefix}{row.where}", name=f"{prefix}{row.name}", split=row.split or prefix[:-1] or None
            )
            for row in found
        ]
        problems += [replace(problem, where=f"{prefix}{problem.where}") for problem in wrong]
        layouts.append(f"{prefix}{layout}")
        unused += [f"{prefix}{name}" for name in left]
    how_split = ""
    if for_training:
        rows, how_split, wrong = with_splits(rows, root, by_folder=both)
        problems += wrong
        problems += _across_rows(rows, problems)
    unused += [name for name in listing.others if not name.startswith(tuple(parts))]
    problems += [*_outside(listing.pictures, parts), *listing.notes, *not_read(unused)]
    return Contents(tuple(rows), tuple(problems), " and ".join(layouts), how_split)


def _half_a_split(root: Path, others: Sequence[str]) -> list[Problem]:
    """One of the folders train and test alone would otherwise be read as a label."""
    there = [split for split in SPLITS if (root / split).is_dir()]
    if len(there) != 1 or _tables("", others):
        return []
    missing = next(split for split in SPLITS if split not in there)
    similar = next((name for name in OTHER_SPLITS if (root / name).is_dir()), None)
    do = f"rename {similar}" if similar else "make one"
    what = f"there is no folder {missing} beside it: {do}, or move the content of {there[0]} one folder up"
    return [Problem(f"{there[0]}/", what)]


def _outside(pictures: Sequence[str], parts: Sequence[str]) -> list[Problem]:
    """A note for each place with pictures that are not in the folders train and test, where these two are read."""
    outside = Counter(name.partition("/")[0] + "/" if "/" in name else "." for name in pictures
                      if not name.startswith(tuple(parts)))  # fmt: skip
    return [
        Problem(
            place,
            f"{count} pictures are not read, such as {next(name for name in pictures if _is_in(name, place))}: where "
            "there are folders train and test, only these two are read",
            is_error=False,
        )
        for place, count in outside.items()
    ]


def _is_in(name: str, place: str) -> bool:
    return "/" not in name if place == "." else name.startswith(place)


def _tables(prefix: str, files: Sequence[str]) -> list[str]:
    there = set(files)
    return [f"{prefix}{name}" for name in NAMES if f"{prefix}{name}" in there]


def _read_part(
    part: Path, pictures: Sequence[str], others: Sequence[str], for_training: bool
) -> tuple[list[Entry], list[Problem], str, list[str]]:
    """The entries of one folder with a table or with sidecars, each of a picture that exists; and the unused files."""
    tables = _tables("", others)
    misplaced = [name for name in others if "/" in name and PurePosixPath(name).name in NAMES]
    what = f"the table is not read: write one {NAMES[0]} into the top folder, with paths from there"
    problems = [Problem(name, what, is_error=for_training) for name in misplaced]
    if not tables:
        misnamed = [name for name in others if name.lower().startswith("metadata.")]
        what = f"the file is not read: tables are called {', '.join(NAMES)}, and .jsonl has one object per line"
        problems += [Problem(name, what, is_error=for_training) for name in misnamed]
        entries, wrong, used = _sidecars(part, pictures, set(others), for_training)
        used |= {*misplaced, *misnamed}
        unused = [name for name in others if name not in used]
        return entries, problems + wrong, "folders with .txt captions", unused
    problems += [Problem(name, f"{tables[0]} is read instead: keep one table") for name in tables[1:]]
    entries, wrong = read_table(part / tables[0], captions_needed=for_training)
    problems += wrong
    kept, wrong = _with_pictures(entries, pictures, for_training)
    named = {entry.name for entry in (*entries, *kept)}
    in_no_row = [name for name in pictures if name not in named]
    if not for_training:
        kept += [Entry(name, name, (), (), None) for name in in_no_row]
    # A row that is unsound may have named any of them.
    elif not any(problem.is_error for problem in problems):
        wrong += [
            Problem(name, f"the picture is in no row of {tables[0]}, and is not used", is_error=False)
            for name in in_no_row
        ]
    unused = [name for name in others if name not in {*tables, *misplaced}]
    return kept, problems + wrong, tables[0], unused


def _with_pictures(
    entries: Sequence[Entry], pictures: Sequence[str], for_training: bool
) -> tuple[list[Entry], list[Problem]]:
    """The entries whose picture exists and that name it first."""
    there = set(pictures)
    composed = {unicodedata.normalize("NFC", name): name for name in pictures}
    similar = {PurePosixPath(name).name.lower(): name for name in pictures} | {name.lower(): name for name in pictures}
    kept, problems = [], []
    first: dict[str, str] = {}
    for entry in entries:
        name, is_error = entry.name, for_training
        if name not in there:  # an accent may be a letter's own or a mark on it: systems differ in how they write it
            name = composed.get(unicodedata.normalize("NFC", name), name)
            entry = replace(entry, name=name)
        if name in first:
            is_error = True
            what = f"{name!r} is named again, first in {first[name]}: keep one row, with all captions in a list"
        elif not is_picture(name):
            what = f"{name!r} is not a picture that is read: expected an ending such as .jpg, .png or .gif"
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
        problems.append(Problem(entry.where, what, is_error))
    return kept, problems


def _sidecars(
    part: Path, pictures: Sequence[str], others: Set[str], for_training: bool
) -> tuple[list[Entry], list[Problem], set[str]]:
    """Pictures with their captions, one per line, in a .txt beside them; their folder is their label."""
    kept: list[Entry] = []
    problems: list[Problem] = []
    used = set()
    for name in pictures:
        sidecar, label = str(PurePosixPath(name).with_suffix(".txt")), str(PurePosixPath(name).parent)
        entry: Entry | None = None
        said: list[Problem] = []
        if sidecar in others:
            used.add(sidecar)
            entry, said = _with_sidecar(part, name, sidecar, label)
        elif for_training:
            beside = PurePosixPath(sidecar).name
            what = f"the picture has no caption: write {beside} beside it, or a {NAMES[0]} with {EXAMPLE}"
            said = [Problem(name, what)]
        if entry is None and not for_training:
            entry = Entry(name, name, (), () if label == "." else (label,), None)
        problems += said
        kept += [entry] if entry is not None else []
    return kept, problems, used


def _with_sidecar(part: Path, name: str, sidecar: str, label: str) -> tuple[Entry | None, list[Problem]]:
    """A picture with the captions of its .txt file."""
    try:
        lines = (part / sidecar).read_bytes().removeprefix(b"\xef\xbb\xbf").decode().splitlines()
    except UnicodeDecodeError:
        return None, [Problem(sidecar, "the file is not UTF-8 text: save it with the encoding UTF-8")]
    captions = [line for line in lines if line.strip()] or [""]
    return checked(sidecar, {"file_name": name, "captions": captions} | ({"label": label} if label != "." else {}))


def _across_rows(rows: Sequence[Entry], before: Sequence[Problem]) -> list[Problem]:
    """The problems of the rows as a whole."""
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
        label = next(label for label in odd.labels if type(label) is rare)
        what = f"label {label!r} is a {_kind(rare)}, most are {_kind(kinds.most_common()[0][0])}s: use one kind"
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
    without = [row.name for row in rows if not row.labels]
    if 0 < len(without) < len(rows):
        what = f"{len(without)} of {len(rows)} pictures have no label, such as {without[0]}"
        problems.append(Problem(".", f"{what}: the method pairs each with itself", is_error=False))
    return problems


def _kind(kind: type) -> str:
    return "number" if kind is int else "name"
