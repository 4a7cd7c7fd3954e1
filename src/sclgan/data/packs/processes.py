"""Work spread over processes, with results in order."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_shared: Any = None  # in a worker: the first argument of all its work


def in_order(
    work: Callable[[Any, Item], Result], shared: Any, items: Sequence[Item], num_workers: int
) -> Iterator[Result]:
    """The results of `work(shared, item)` for all items, in order; with `num_workers` of 0, in this process.

    `shared` is sent to each process once. After an error or an interruption, items that have begun are finished, and no
    others begin.

    Raises:
        OSError: a process was killed.
    """
    if num_workers == 0:
        for item in items:
            yield work(shared, item)
        return
    # Workers are forked from a process that has made their imports and has no threads, whose locks they could wait for.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(num_workers, context, initializer=_begin, initargs=(shared,)) as pool:
        futures = [pool.submit(_with_shared, work, item) for item in items]
        futures.reverse()
        try:
            while futures:
                yield futures.pop().result()  # popped: a result is not kept longer than it is used
        except BrokenProcessPool as error:
            raise OSError("a worker process was killed, perhaps for its memory: repeat with fewer workers") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _with_shared(work: Callable[[Any, Item], Result], item: Item) -> Result:
    return work(_shared, item)
