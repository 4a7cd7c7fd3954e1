"""Signals during training: the first one stops the run at a checkpoint."""

import logging
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

from sclgan import distributed

log = logging.getLogger(__name__)
T = TypeVar("T")


class StoppedError(KeyboardInterrupt):
    """A signal asked the run to stop; it stopped at a checkpoint."""


class _WaitedError(BaseException):
    """A signal came while a batch was awaited."""


class Stopper:
    """Turns the first SIGINT or SIGTERM into a request to stop after the step; a second one acts at once.

    Worker processes, which inherit the handlers, leave SIGINT to this one and end at SIGTERM.

    With several ranks SIGTERM ends this one at once, with a message: torchrun sends it where another rank is gone, and
    no collective would return. The newest checkpoint remains.
    """

    def __init__(self) -> None:
        self.requested = False
        self._waits = False
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stopper":
        if distributed.world_size() > 1:
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._leave)
        else:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def interruptible(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches until a signal comes. Waiting for the next one, which may never arrive, ends at once."""
        waiting = iter(batches)  # starts the workers, which must not inherit `_waits`
        try:
            while not self.requested:
                self._waits = True
                try:
                    batch = next(waiting)
                except StopIteration:
                    return
                self._waits = False
                yield batch
        except _WaitedError:
            return
        finally:
            self._waits = False

    def stop_if_requested(self, title: str, step: int, steps: int) -> None:
        """Raises StoppedError where a signal came; also after the last step, so that nothing else is begun."""
        if self.requested:
            done = "is complete" if step == steps else f"stopped after step {step} of {steps}"
            raise StoppedError(f"{title} {done}; repeat the command to continue")

    def _request(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            if number == signal.SIGTERM:
                raise SystemExit(128 + number)
            return
        self.requested = True
        waits, self._waits = self._waits, False
        self._restore()
        if waits:
            log.warning("stopping; the next batch is not waited for")
            raise _WaitedError
        log.warning("stopping after this step; once more to stop at once")

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        log.warning(
            "rank %d was told to stop: another rank ended, or the job was cancelled. "
            "The newest checkpoint is whole: repeat the command to continue from it",
            distributed.rank(),
        )
        raise SystemExit(128 + number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
