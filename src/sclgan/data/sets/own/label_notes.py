"""Labels that are probably not what was meant: two names for one label, names of missing values, numbers of folders."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sclgan.data.printable import listed
from sclgan.data.sets.own.table import Entry, Problem, as_label

MISSING = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "#n/a", "nat", "nil", "?", "-"})
"""Lower-case texts by which other programs write that there is no value."""


def label_notes(rows: Sequence[Entry]) -> list[Problem]:
    """A note for each label that looks like another one, like a missing value, or like the number of a folder."""
    counts = Counter(label for row in rows for label in row.labels)
    return [*_written_twice(rows), *_look_alike(rows, counts), *_missing(rows, counts), *_numbers(rows, counts)]


def from_folders(row: Entry) -> bool:
    """Whether the row's label is the name of the picture's folder."""
    return row.where.endswith(".txt")


def _where(rows: Sequence[Entry], label: str | int) -> str:
    return next(row.where for row in rows if label in row.labels)


def _written_twice(rows: Sequence[Entry]) -> list[Problem]:
    """Labels that are one because only space around them or their Unicode form differs."""
    forms: dict[str | int, Counter[str | int]] = defaultdict(Counter)
    for row in rows:
        for written in dict.fromkeys(row.written):
            forms[as_label(written)][written] += 1
    return [
        Problem(
            _where(rows, label),
            f"label {label!r} is written in {len(of_label)} ways, {', '.join(map(ascii, of_label))}, which "
            "differ in spaces around it or in how Unicode writes a letter: they are one label",
            is_error=False,
        )
        for label, of_label in forms.items()
        if len(of_label) > 1
    ]


def look_alike(labels: Iterable[str | int]) -> list[list[str | int]]:
    """The groups of labels that differ only in capitals, accents, separators or a trailing ".0"."""
    groups: dict[str, list[str | int]] = defaultdict(list)
    for label in labels:
        letters = "".join(c for c in unicodedata.normalize("NFKD", str(label)) if not unicodedata.combining(c))
        key = re.sub(r"[\s_-]+", " ", letters.casefold())
        groups[key.removesuffix(".0") if key.removesuffix(".0").isdecimal() else key].append(label)
    return [group for group in groups.values() if len(group) > 1]


def _look_alike(rows: Sequence[Entry], counts: Counter[str | int]) -> list[Problem]:
    return [
        Problem(
            _where(rows, min(group, key=lambda label: counts[label])),
            f"labels {', '.join(f'{label!r} ({counts[label]:,} pictures)' for label in group)} look alike and are "
            "different labels: if they mean the same, write them in the same way",
            is_error=False,
        )
        for group in look_alike(counts)
    ]


def _missing(rows: Sequence[Entry], counts: Counter[str | int]) -> list[Problem]:
    return [
        Problem(
            _where(rows, label),
            f"label {label!r} ({count:,} pictures) looks like a missing value, and makes them pictures of one label: "
            "leave the label out",
            is_error=False,
        )
        for label, count in counts.items()
        if str(label).casefold() in MISSING
    ]


def _numbers(rows: Sequence[Entry], counts: Counter[str | int]) -> list[Problem]:
    """Folders 00000, 00001 are what downloaders make, and say nothing about the pictures in them."""
    named = [label for label in counts if str(label).replace("/", "").isdecimal()]
    if not named or len(named) < len(counts) or not any(map(from_folders, rows)):
        return []
    what = (
        f"the labels are the names of the folders that the pictures are in, which are numbers, {listed(named)}: if "
        "they do not say what the pictures show, move the pictures to the top folder, where they have no label"
    )
    return [Problem(_where(rows, named[0]), what, is_error=False)]
