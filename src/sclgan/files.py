"""Files that are whole or absent: written beside their place, then renamed. A leaf of the package."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, or a restart after a crash, finds the old content or the new, never a part."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file or fill a folder; it takes the place of `path` on success.

    On any error what was written is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove(temporary)
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _flush(file)
        if temporary.is_dir():
            _remove(path)  # rename replaces files, but not folders that hold something
        temporary.replace(path)
        _flush(path.parent)
    except BaseException:
        _remove(temporary)
        raise


def check_own(path: Path, mark: bytes) -> None:
    """Refuses a file that is about to be replaced, unless it holds the mark that this package writes into such files.

    Raises:
        ValueError: it is there, is not empty and does not hold the mark.
    """
    if path.is_file() and path.stat().st_size and mark not in path.read_bytes():
        raise ValueError(f"{path} is not a file of sclgan and would be overwritten: move it, or give another --out")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """To the disk: a rename must not outlive the content that it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
