"""Signals during training: the first one stops the run at a checkpoint."""

import logging
import signal
from types import FrameType, TracebackType
from typing import Any

from sclgan import distributed

log = logging.getLogger(__name__)


class StoppedError(KeyboardInterrupt):
    """A signal asked the run to stop; it stopped at a checkpoint."""


class Stopper:
    """Turns the first SIGINT or SIGTERM into a request to stop after the step; a second one acts at once.

    With several ranks SIGTERM ends this one at once, with a message: torchrun sends it where another rank is gone, and
    no collective would return. The newest checkpoint remains.
    """

    def __init__(self) -> None:
        self.requested = False
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

    def stop_if_requested(self, title: str, step: int, steps: int) -> None:
        """Raises StoppedError where a signal came; also after the last step, so that nothing else is begun."""
        if self.requested:
            done = "is complete" if step == steps else f"stopped after step {step} of {steps}"
            raise StoppedError(f"{title} {done}; repeat the command to continue")

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        log.warning("stopping after this step; once more to stop at once")
        self._restore()

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
