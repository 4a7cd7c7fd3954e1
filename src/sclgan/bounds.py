"""Files of strangers, read within bounds: the size is checked before the content. A leaf of the package."""

import json
import os
from pathlib import Path
from typing import Any

LIMIT = "SCLGAN_MAX_FILE_BYTES"
"""The environment variable that raises the limits for files in shards and for JSON files."""
MAX_JSON = 2**26
"""Bytes of a JSON file: about 400,000 shards, or 5 million words. Python needs up to 20 times as much to hold it."""
_MAX_FILE = 2**28  # bytes


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
