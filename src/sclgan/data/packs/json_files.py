"""The JSON files of a pack, which may be damaged or a stranger's: read within bounds."""

import json
import os
from pathlib import Path
from typing import Any

from sclgan.data.packs.members import LIMIT, max_file_bytes, too_large

_MAX_JSON = 2**26  # bytes: about 400,000 shards; Python needs up to 20 times as much to hold it


def read_json(path: Path) -> Any:
    """The content of a JSON file of at most 64 MiB, or of what the environment variable `LIMIT` allows.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is not a file, too large, or not JSON; the message does not name it.
    """
    size = path.stat().st_size
    limit = max_file_bytes() if LIMIT in os.environ else _MAX_JSON
    if not path.is_file():
        raise ValueError("it is not a file")
    if size > limit:
        raise ValueError(f"it has {too_large(size, limit)}")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
