"""Which rows of a folder are held out: as its column or its folders say, or else a tenth of the pictures."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sclgan.data.sets.own.shown import copies
from sclgan.data.sets.own.table import SPLITS, Entry, Problem

HELD_OUT = 0.1
"""Share of the pictures that is the test split, where nothing else says which."""


def with_splits(rows: list[Entry], root: Path, *, by_folder: bool) -> tuple[list[Entry], str, list[Problem]]:
    """The rows with their split, and how it was found.

    Where neither a column nor folders say it, a tenth is held out by a hash of the file name, so that a picture stays
    on its side when others are added. Files of the same pixels are one picture, under the first of their names.
    """
    if by_folder and not any(row.split for row in rows):  # one table for both folders
        first = [PurePosixPath(row.name).parts[0] for row in rows]
        rows = [replace(row, split=part if part in SPLITS else "") for row, part in zip(rows, first, strict=True)]
    if any(row.split for row in rows):
        problems = [
            Problem(row.where, 'the row has no split, others have one: add "split": "train" or "test"')
            for row in rows
            if not row.split
        ]
        how = "by their folders" if by_folder else "by the column split"
        return [row for row in rows if row.split], how, problems
    how = "a tenth held out by a hash of the file name"
    original = copies(root, [row.name for row in rows])
    held_out = _held_out({original.get(row.name, row.name) for row in rows})
    notes = []
    if original:
        copy, first_name = next(iter(original.items()))
        what = f"{len(original)} pictures are copies of others, pixel for pixel, such as {copy!r} of {first_name!r}"
        notes = [Problem(".", f"{what}: copies are held out or trained on together", is_error=False)]
    return [replace(row, split=SPLITS[original.get(row.name, row.name) in held_out]) for row in rows], how, notes


def _held_out(names: Iterable[str]) -> set[str]:
    """About a tenth of the names by their hash; at least one, and not all, where there are several."""
    numbers = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) for name in names}
    held_out = {name for name, number in numbers.items() if number < HELD_OUT * 2**64}
    if not held_out and len(numbers) > 1:
        held_out = {min(numbers, key=lambda name: numbers[name])}
    if len(held_out) == len(numbers) > 1:
        held_out.discard(max(numbers, key=lambda name: numbers[name]))
    return held_out
