"""The records of a run: values of the training as JSON lines and TensorBoard events."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sclgan import distributed
from sclgan.files import write_atomically
from sclgan.runs.json_files import is_kind, parsed_object
from sclgan.runs.tracking import TrackerName, started

log = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


class Metrics:
    """Writes `metrics.jsonl` and TensorBoard events into a run folder; only rank 0 writes.

    Records after `step` are removed at the start: a resumed run repeats those steps and writes them again. With `track`
    they go to that tracker as well.

    Raises:
        ValueError: the records of before are damaged.
    """

    def __init__(self, folder: Path, step: int, track: TrackerName | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # half a second that no other command should pay

        self.path = folder / METRICS
        self._added: dict[str, list[Tensor]] = {}
        self._writes = distributed.rank() == 0
        if self._writes:
            kept = [record for record in read_metrics(folder) if record["step"] <= step]
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
            self._events = SummaryWriter(str(folder), purge_step=step + 1)
            self._tracker = None if track is None else started(track, folder)

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Adds values of one step to the averages that the next `averages` returns."""
        for name, value in values.items():
            self._added.setdefault(name, []).append(value)

    def averages(self) -> dict[str, float]:
        """The mean of what was added since the last call, over steps and ranks; every rank must call it."""
        added, self._added = self._added, {}
        if not added:
            return {}
        device = distributed.device()
        means = torch.stack([torch.stack(values).to(device).double().mean() for values in added.values()])
        means = distributed.sum_over_ranks(means) / distributed.world_size()
        return dict(zip(added, means.tolist(), strict=True))

    def write(self, step: int, values: Mapping[str, float | int]) -> None:
        """Appends a record."""
        if not self._writes or not values:
            return
        with self.path.open("a") as file:
            rounded = {name: round_to(v) if isinstance(v, float) else v for name, v in values.items()}
            file.write(json.dumps({"step": step, **rounded}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        if self._tracker is not None:
            self._tracker.log(dict(values), step=step)

    def close(self) -> None:
        """Flushes the events."""
        if self._writes:
            self._events.close()
            if self._tracker is not None:
                self._tracker.finish()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run in order; a last line that a crash cut short is left out, with a warning.

    Raises:
        ValueError: a line is not a record; it is named.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    *lines, last = path.read_bytes().split(b"\n")  # each record ends with a newline
    records = [_record(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    try:
        return [*records, _record(last, f"{path}:{len(lines) + 1}")] if last else records
    except ValueError:
        log.warning("%s: the last line is cut short and was left out", path)
        return records


def _record(line: bytes, where: str) -> dict[str, Any]:
    advice = "remove this line"
    record = parsed_object(line, {"step": int}, where=where, advice=advice)
    if wrong := [name for name, value in record.items() if not is_kind(value, float)]:
        raise ValueError(f"{where}: '{wrong[0]}' is not a number: {advice}")
    return record


def round_to(value: float, digits: int = 6) -> float:
    """`value` rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")
