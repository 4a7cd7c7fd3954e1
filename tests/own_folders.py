"""Folders of a user's own pictures for tests, and the check of a folder as lines."""

import json
from pathlib import Path
from typing import Any

from photos_on_disk import table
from sclgan.data.sets.own.check import check
from sclgan.data.sets.own.source import Folder

BAD = "kite/3.jpg"


def rows_of(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]


def told(root: Path) -> list[str]:
    """What the check says, a line each, with the summary."""
    report = check(root, image_size=32, max_words=18)
    return [*map(str, report.problems), *report.summary]


def both(root: Path) -> tuple[Folder, Folder]:
    return Folder("train", root=root), Folder("test", root=str(root))


def changed(**fields):
    """The row of BAD with fields replaced; None removes one."""

    def change(root: Path) -> None:
        rows = rows_of(root)
        row = next(row for row in rows if row["file_name"] == BAD)
        row.update(fields)
        table(root / "metadata.jsonl", [{k: v for k, v in one.items() if v is not None} for one in rows])

    return change


def line(content: bytes):
    """The fourth line replaced."""

    def change(root: Path) -> None:
        lines = (root / "metadata.jsonl").read_bytes().splitlines()
        lines[3] = content
        (root / "metadata.jsonl").write_bytes(b"\n".join(lines))

    return change


def csv(content: str):
    def change(root: Path) -> None:
        (root / "metadata.jsonl").unlink()
        (root / "metadata.csv").write_text(content)

    return change
