"""Left-overs of a killed process in a run folder: files that `sclgan.files` had begun to write beside their places."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sclgan.runs.lock import LOCK

PLACES = (".", "checkpoints", "grids")
"""Where training writes, in the run folder."""


def remove_left_overs(folder: Path) -> None:
    """Removes the parts of files whose writers are dead; this process must hold the folder's lock."""
    for path, writer in _parts(folder):
        if writer == os.getpid() or not _is_alive(writer):  # in a container a process may get the number again
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but a lock and what a killed process left."""
    own = {path for path, _ in _parts(folder)} | {folder / LOCK}
    return all(path in own for path in folder.iterdir())


def _parts(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every part and the number of the process that wrote it."""
    for place in PLACES:
        for path in (folder / place).glob(".*.partial"):
            if match := re.fullmatch(r"\..+\.(\d+)\.partial", path.name):
                yield path, int(match[1])


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
