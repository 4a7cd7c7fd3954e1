"""What a run says of itself: records as JSON lines and TensorBoard events, and a line of progress."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from sclgan import distributed
from sclgan.files import write_atomically

log = logging.getLogger(__name__)


class Metrics:
    """Writes `metrics.jsonl` and TensorBoard events into a run folder; only rank 0 writes.

    Records after `step` are removed at the start: a resumed run repeats those steps and writes them again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # half a second that no other command should pay

        self.path = folder / "metrics.jsonl"
        self._added: dict[str, list[Tensor]] = {}
        self._writes = distributed.rank() == 0
        if self._writes:
            kept = [record for record in read_metrics(folder) if record["step"] <= step]
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())
            self._events = SummaryWriter(str(folder), purge_step=step + 1)

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

    def close(self) -> None:
        """Flushes the events."""
        if self._writes:
            self._events.close()


def round_to(value: float, digits: int = 6) -> float:
    """`value` with so many significant digits."""
    return float(f"{value:.{digits}g}")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run in order; a line that a crash cut short is left out."""
    records = []
    path = folder / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            log.warning("%s: a line is cut short and was left out", path)
    return records


class ProgressLine:
    """A live bar on a terminal, a plain line now and then elsewhere, with images/s and the time left; rank 0 only."""

    def __init__(self, title: str, *, total: int, done: int, unit_images: int, plain_seconds: float = 15.0) -> None:
        self.title, self.total, self.done, self.unit_images = title, total, done, unit_images
        self._first, self._start = done, time.monotonic()
        self._plain_seconds, self._last_plain = plain_seconds, self._start
        self._note = ""
        self._bar: Progress | None = None
        if distributed.rank() == 0 and sys.stderr.isatty():
            from rich.console import Console

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))
            self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> "ProgressLine":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None:
            self._print()

    def images_per_second(self) -> float:
        """Since the start of this process."""
        return (self.done - self._first) * self.unit_images / max(time.monotonic() - self._start, 1e-9)

    def show(self, values: Mapping[str, float]) -> None:
        """Puts values at the end of the line, from now on."""
        self._note = "  ".join(f"{name} {value:.3g}" for name, value in values.items())

    def advance(self, done: int) -> None:
        """Shows that `done` units are done."""
        self.done = done
        if self._bar:
            note = f"{self.images_per_second():.0f} images/s  {self._note}"
            self._bar.update(self._task, completed=done, note=note)
        elif time.monotonic() - self._last_plain >= self._plain_seconds:
            self._last_plain = time.monotonic()
            self._print()

    def _print(self) -> None:
        if distributed.rank():
            return
        rate = self.images_per_second()
        left = (self.total - self.done) * self.unit_images / rate if rate else 0.0
        minutes, seconds = divmod(round(left), 60)
        print(
            f"{self.title}: {self.done}/{self.total}, {rate:.0f} images/s, {minutes}:{seconds:02d} left  {self._note}",
            file=sys.stderr,
            flush=True,
        )
