"""One thread that runs the model, and a bounded queue before it."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LONGEST_ADVICE = 60  # seconds


class QueueFullError(Exception):
    """The queue holds as many requests as it may. `retry_after` is the time in seconds until it should be empty."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full: try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, eq=False)
class _Job:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"

    def run(self) -> None:
        """Does the work and hands its result, or its error, to the event loop."""
        try:
            result, error = self.work(), None
        except Exception as raised:
            result, error = None, raised
        with suppress(RuntimeError):  # the event loop was closed in the meantime: nobody waits
            self.loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.answer.done():  # cancelled
            return
        if error is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(error)


class ModelQueue:
    """Runs one piece of work at a time, in order of arrival, in a thread of its own.

    Work that waits and is cancelled leaves the queue at once; work that is being done is finished, and its result
    dropped.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds = 0.1  # per piece of work, a moving average
        self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """How many pieces of work wait, without the one that is being done."""
        return len(self._waiting)

    async def run(self, work: Callable[[], Any]) -> Any:
        """The result of `work()`, or its error.

        Raises:
            QueueFullError: as many pieces of work wait as may.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        with self._changed:
            if len(self._waiting) >= self.length:
                raise QueueFullError(min(LONGEST_ADVICE, max(1, math.ceil(self._seconds * (self.length + 1)))))
            self._waiting.append(job)
            self._changed.notify()
        try:
            return await job.answer
        finally:
            with self._changed:
                if job in self._waiting:
                    self._waiting.remove(job)

    def close(self) -> None:
        """Ends the thread after the work that is being done; what waits is dropped."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self._waiting.popleft()
            began = time.monotonic()
            job.run()
            self._seconds += 0.1 * (time.monotonic() - began - self._seconds)
