"""Left-overs of a killed process in a run folder: files that `sclgan.files` had begun to write beside their places."""

from pathlib import Path

from sclgan.files import parts_in, remove_parts
from sclgan.runs.lock import LOCK

PLACES = (".", "checkpoints", "grids")
"""Where training writes, in the run folder."""


def remove_left_overs(folder: Path) -> None:
    """Removes the parts of files whose writers are dead; this process must hold the folder's lock."""
    for place in PLACES:
        remove_parts(folder / place)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but a lock and what a killed process left."""
    own = {path for path, _ in parts_in(folder)} | {folder / LOCK}
    return all(path in own for path in folder.iterdir())
