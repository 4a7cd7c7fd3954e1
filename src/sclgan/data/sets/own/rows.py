"""The rows of metadata.jsonl, .csv and .parquet as they are written, each with its place in the file."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sclgan.data.printable import shortened

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
FIELDS = ("file_name", "captions", "text", "label", "labels", "split")
EXAMPLE = '{"file_name": "1.png", "captions": ["a red bird"], "label": "cardinal"}'
Fields = dict[str, Any]


def written_rows(path: Path) -> Iterator[tuple[str, Fields | str]]:
    """(file:line, row) of a table; instead of a row that cannot be read, what is wrong with it.

    A blank line is an empty row, and nothing at the end of the file.
    """
    blank = []
    for where, row in {".jsonl": _json_lines, ".csv": _csv_rows, ".parquet": _parquet_rows}[path.suffix](path):
        if row is None:
            blank.append(where)
            continue
        yield from ((place, {}) for place in blank)
        blank.clear()
        yield where, row


def _lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """(file:line, text), or None for a line that is not UTF-8. A byte-order mark is left out."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            try:
                yield f"{path.name}:{number}", content.decode()
            except UnicodeDecodeError:
                yield f"{path.name}:{number}", None


_NOT_UTF8 = "the line is not UTF-8 text: save the file with the encoding UTF-8"


def _json_lines(path: Path) -> Iterator[tuple[str, Fields | str | None]]:
    for where, line in _lines(path):
        if line is None:
            yield where, _NOT_UTF8
        elif not line.strip():
            yield where, None
        else:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, f"the line is not JSON ({error}): expected one object per line, such as {EXAMPLE}"
                continue
            yield (
                where,
                row if isinstance(row, dict) else f"the line is not an object: expected one such as {EXAMPLE}",
            )


def _csv_rows(path: Path) -> Iterator[tuple[str, Fields | str | None]]:
    lines = list(_lines(path))
    if broken := [where for where, line in lines if line is None]:
        yield from ((where, _NOT_UTF8) for where in broken)
        return
    rows = csv.reader(io.StringIO("".join(line or "" for _, line in lines), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "file_name" not in header:
            hint = "separate cells by commas" if any(";" in name or "\t" in name for name in header) else "name it so"
            found = shortened(",".join(header))
            yield (
                f"{path.name}:1",
                f"no column is called file_name in {found}: {hint}, such as file_name,captions,label",
            )
            return
        if doubled := [name for name, times in Counter(header).items() if times > 1 and name in FIELDS]:
            yield f"{path.name}:1", f"several columns are called {doubled[0]}: keep one"
            return
        before = rows.line_num
        for cells in rows:
            where, before = f"{path.name}:{before + 1}", rows.line_num
            if cells and len(cells) != len(header):
                yield where, f'{len(cells)} cells, the header has {len(header)}: put text with commas into "quotes"'
            else:
                yield where, dict(zip(header, cells, strict=True)) if cells else None
    except csv.Error as error:
        yield f"{path.name}:{rows.line_num}", f"the line is not CSV ({error}): export the table again"


def _parquet_rows(path: Path) -> Iterator[tuple[str, Fields | str | None]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        yield path.name, "reading parquet needs pyarrow: pip install 'sclgan[parquet]', or write metadata.jsonl instead"
        return
    number = 0
    try:
        for batch in ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path.name}:{number}", row
    except (ArrowException, OSError, ValueError) as error:
        yield f"{path.name}:{number + 1}", f"the file is not parquet, or is damaged ({error}): write it again"
