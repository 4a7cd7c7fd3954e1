"""Everything below a folder of pictures, each file once: pictures, other files, and what cannot be read."""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sclgan.data.images import SUFFIXES
from sclgan.data.sets.own.table import Problem

RECORDS = "evaluations.jsonl"
"""Written into graded folders by `sclgan evaluate`; it belongs to no picture."""


@dataclass(frozen=True)
class Listing:
    """Paths of regular files relative to the folder, in the order of `_place`, and notes on the rest."""

    pictures: tuple[str, ...]
    others: tuple[str, ...]
    notes: tuple[Problem, ...]


def list_folder(root: Path) -> Listing:
    """Lists a folder. Hidden files, and those that macOS adds to archives, are left out.

    A link to a folder is followed once. It is not followed to a folder that is listed without it or that holds this
    one. Pipes, devices, sockets and links that lead nowhere are named in the notes.
    """
    found: dict[bool, list[str]] = {True: [], False: []}
    notes: list[Problem] = []
    visited = {_identity(parent) for parent in root.resolve().parents}
    folders, links = deque([""]), deque[str]()
    while folders or links:
        below = folders.popleft() if folders else links.popleft()
        identity = _identity(root / below)
        if identity in visited:
            what = "the link leads to a folder that is read without it, or that holds this one, and is not followed"
            notes.append(Problem(below, what, is_error=False))
            continue
        visited.add(identity)
        with os.scandir(root / below) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                path = f"{below}/{entry.name}" if below else entry.name
                kind = _kind(entry)
                if kind == "folder":
                    (links if entry.is_symlink() else folders).append(path)
                elif kind == "file":
                    found[is_picture(path)].append(path)
                else:
                    notes.append(Problem(path, f"it is {kind} and not a file, and is not read", is_error=False))
    return Listing(tuple(sorted(found[True], key=_place)), tuple(sorted(found[False], key=_place)), tuple(notes))


def is_picture(name: str) -> bool:
    """Whether a file has the ending of a picture."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def not_read(names: Sequence[str]) -> list[Problem]:
    """A note that counts and names files that are not read, by their endings; none for no file."""
    of_ending: dict[str, list[str]] = {}
    for name in names:
        if PurePosixPath(name).name != RECORDS:
            of_ending.setdefault(PurePosixPath(name).suffix.lower() or "no ending", []).append(name)
    if not of_ending:
        return []
    counted = ", ".join(
        f"{ending}: {len(of_one)} ({of_one[0]}{', ...' if len(of_one) > 1 else ''})"
        for ending, of_one in sorted(of_ending.items(), key=lambda item: -len(item[1]))
    )
    return [Problem(".", f"files that are not read, {counted}", is_error=False)]


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "a link that leads nowhere" if not os.path.exists(entry.path) else "a pipe, a device or a socket"
    except OSError:
        return "a link that leads nowhere"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _place(path: str) -> list[tuple[bool, str]]:
    """Sorts the files of a folder before its folders, both by name."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]
