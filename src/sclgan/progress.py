"""A line that says how far long work is."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sclgan import distributed


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
