"""Files: written whole or not at all, beside their place and then renamed; read within bounds. A leaf."""

import errno
import hashlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a file that cannot grow."""

MARK = b"Made by sclgan"
"""What pictures, figures and pages hold, so that they are known as the package's own when they are written again."""

LIMIT = "SCLGAN_MAX_FILE_BYTES"
"""The environment variable that raises the limits for files in shards and for JSON files."""
MAX_JSON = 2**26
"""Bytes of a JSON file: about 400,000 shards, or 5 million words. Python needs up to 20 times as much to hold it."""
_MAX_FILE = 2**28  # bytes


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, or a restart after a crash, finds the old content or the new, never a part."""
    with replaced(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write a file or fill a folder; it takes the place of `path` on success.

    On any error the part is removed and `path` stays as it was. Parts of this path that dead processes left are
    removed, and a folder that was moved aside when its writer was killed is moved back.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.old")
    if aside.exists():
        _remove(aside) if path.exists() else aside.replace(path)
    for part, writer in parts_in(path.parent):
        if part.name.startswith(f".{path.name}.") and not is_alive(writer):
            _remove(part)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove(temporary)
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")] if temporary.is_dir() else [temporary]:
            _flush(file)
        if temporary.is_dir() and path.exists():
            path.replace(aside)  # rename replaces files, but not folders that are not empty
        temporary.replace(path)
        _flush(path.parent)
        _remove(aside)
    except BaseException as error:
        _remove(temporary)
        if aside.exists() and not path.exists():
            aside.replace(path)
        if isinstance(error, OSError) and error.errno in FULL:
            raise OSError(error.errno, f"{error.strerror}: make room and repeat the command", str(path)) from error
        raise


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parts_in(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every part of a file or folder that `replaced` has begun in `folder`, and the process that writes it."""
    for path in folder.glob(".*.partial"):
        if match := re.fullmatch(r"\..+\.(\d+)\.partial", path.name):
            yield path, int(match[1])


def remove_parts(folder: Path) -> None:
    """Removes the parts in `folder` whose writers are dead, and those of this process, which is not writing now."""
    for path, writer in parts_in(folder):
        if writer == os.getpid() or not is_alive(writer):  # in a container a process may get the number again
            _remove(path)


def is_alive(process: int) -> bool:
    """Whether a process with this number is running on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def check_own(path: Path, mark: bytes = MARK) -> None:
    """Refuses to replace a file, unless it is empty or holds the mark that the package writes into files of this kind.

    Every command that writes a file which the user names, or which it names itself, calls this before its work.

    Raises:
        ValueError: the file does not hold the mark, or is a folder, a device or a pipe.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}: name a file to write")
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(mark) >= 0:
                return
    raise ValueError(f"{path} was not written by this command and would be overwritten: move it, or name another file")


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


# Files of strangers: their size is checked before their content


def max_file_bytes() -> int:
    """The largest file in a shard that is read, 256 MiB unless the environment variable `LIMIT` says otherwise.

    Raises:
        ValueError: the variable is not a whole number from 1 to 2^32 - 1, the largest that an index holds.
    """
    given = os.environ.get(LIMIT, str(_MAX_FILE))
    if not (given.isascii() and given.isdecimal() and 0 < int(given) < 2**32):
        raise ValueError(f"{LIMIT} is {given!r}: expected a number of bytes below 2^32, such as {_MAX_FILE}")
    return int(given)


def too_large(size: int, limit: int) -> str:
    """Why a file of that size is not read."""
    return f"{size:,} bytes; at most {limit:,} are read ({LIMIT} raises the limit)"


def read_content(path: Path) -> bytes:
    """The content of a JSON file of at most 64 MiB, or of what the environment variable `LIMIT` allows.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a file, or too large; the message does not name it.
    """
    size = path.stat().st_size
    limit = max_file_bytes() if LIMIT in os.environ else MAX_JSON
    if not path.is_file():
        raise ValueError("it is not a file")
    if size > limit:
        raise ValueError(f"it has {too_large(size, limit)}")
    return path.read_bytes()


def read_json(path: Path) -> Any:
    """What a JSON file holds, within the bounds of `read_content`.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a file, too large, or not JSON; the message does not name it.
    """
    return parsed(read_content(path))


def parsed(content: bytes) -> Any:
    """What JSON holds.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
