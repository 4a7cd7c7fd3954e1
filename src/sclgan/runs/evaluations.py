"""The records of evaluations: `evaluations.jsonl` has a JSON line per value, for one writer and one reader."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.files import check_own
from sclgan.runs.json_files import NAMES, described, is_kind, parsed_object

log = logging.getLogger(__name__)

EVALUATIONS = "evaluations.jsonl"
REQUIRED = {"label": str, "value": float, "better": str, "num_samples": int, "step": int, "checkpoint": str}
OPTIONAL = {"floor": float, "interval": list, "extractor": str, "recipe": str}


def evaluation_records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run folder in order; lines that are not records are left out, and each is named in a warning."""
    path = folder / EVALUATIONS
    records = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            records.append(_record(line, f"{path}:{number}"))
        except ValueError as error:
            log.warning("%s", error)
    return records


def read_evaluations(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest record of each protocol of a run folder, by the heading of its column."""
    return {record["label"]: record for record in evaluation_records(folder)}


def check_own_records(path: Path) -> None:
    """Refuses a file that holds something else than records of evaluations.

    Raises:
        ValueError: see `check_own`.
    """
    check_own(path, b'"num_samples"')


def append_evaluations(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Appends the records, all or none, on lines of their own even where the last line of the file is cut short.

    Only rank 0 writes.

    Raises:
        OSError: the file cannot be written, as on a full disk; its content stays as it was.
    """
    if distributed.rank() != 0 or not records:
        return
    content = "".join(json.dumps(dict(record)) + "\n" for record in records).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            size = file.seek(0, 2)
            if size:
                file.seek(size - 1)
                content = content if file.read(1) == b"\n" else b"\n" + content
            try:
                if file.write(content) != len(content):
                    raise OSError("No space left on device")
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise OSError(f"the values above could not be written to {path} ({error}): make room, or give --out") from error


def _record(line: bytes, where: str) -> dict[str, Any]:
    advice = "this line is not an evaluation and is left out"
    record = parsed_object(line, REQUIRED, where=where, advice=advice)
    for name, kind in OPTIONAL.items():
        if record.get(name) is not None and not is_kind(record[name], kind):
            raise ValueError(f"{where}: '{name}' is {described(record[name])}, not {NAMES[kind]}: {advice}")
    interval = record.get("interval")
    if interval is not None and not (len(interval) == 2 and all(is_kind(end, float) for end in interval)):
        raise ValueError(f"{where}: 'interval' is not two numbers: {advice}")
    return record
