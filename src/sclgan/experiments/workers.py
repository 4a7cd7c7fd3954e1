"""Commands of this program in processes of their own, several at a time, each on a GPU or a CPU thread."""

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import torch

Command = Sequence[str]


class CommandError(ChildProcessError):
    """A command ended with the exit code `code`; `said` is the last line of its output."""

    def __init__(self, command: Command, code: int, said: str) -> None:
        super().__init__(f"{said}: `{shlex.join(command)}` ended with exit code {code}; repeat to continue")
        self.code = code


def devices() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; none on a CPU."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


class CommandPool:
    """Runs jobs, `num` at a time; a job is a sequence of commands on one device.

    The processes are in sessions of their own: an interruption reaches them through `CommandPool` alone, as SIGTERM, at
    which a training writes a checkpoint. A second interruption stops them at once. `held` is a file descriptor that
    each process keeps open.
    """

    def __init__(self, num: int, *, held: int) -> None:
        self.num, self.held = num, held
        places = devices()
        self._places: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for number in range(num):
            self._places.put(places[number % len(places)] if places else None)
        self._running: set[subprocess.Popen[str]] = set()
        self._heard: set[str] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, jobs: Mapping[str, Sequence[Command]], done: Callable[[str, CommandError | None], None]) -> None:
        """Runs all jobs, by title; `done` is called in this thread with the title of each that ends and its error.

        Lines on stderr are passed on behind the title; a line of one command is not repeated for another.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM came, and every process has ended.
        """
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with ThreadPoolExecutor(self.num) as pool:
                futures = {pool.submit(self._job, title, commands): title for title, commands in jobs.items()}
                try:
                    self._collect(futures, done)
                except BaseException:
                    self._stop()
                    try:
                        wait(futures)
                    except KeyboardInterrupt:
                        self._stop()
                    raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _collect(self, futures: Mapping[Future[None], str], done: Callable[[str, CommandError | None], None]) -> None:
        pending = set(futures)
        while pending:
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in ended:
                error = future.exception()
                if error is not None and not isinstance(error, CommandError):
                    raise error
                done(futures[future], error)

    def _job(self, title: str, commands: Sequence[Command]) -> None:
        place = self._places.get()
        try:
            for command in commands:
                self._command(title, command, place)
        finally:
            self._places.put(place)

    def _command(self, title: str, arguments: Command, place: str | None) -> None:
        # A small network on two threads spends much of its time waiting, above all where several run side by side.
        own = {"OMP_NUM_THREADS": "1"} if place is None else {"CUDA_VISIBLE_DEVICES": place}
        with self._lock:
            if self._stopped:
                return
            process = subprocess.Popen(
                [sys.executable, "-m", "sclgan", *arguments],
                env=os.environ | own,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                pass_fds=[self.held],
            )
            self._running.add(process)
        with process:
            assert process.stderr is not None
            said = "it said nothing"
            for line in process.stderr:
                said = line.strip() or said
                if line not in self._heard:
                    self._heard.add(line)
                    print(f"{title} | {line}", end="", file=sys.stderr, flush=True)
        with self._lock:
            self._running.remove(process)
        if process.returncode:
            raise CommandError(["sclgan", *arguments], process.returncode, said)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


class FolderLock:
    """A lock on a folder, held by this process and by those that get `descriptor`, until all have ended.

    Raises:
        ValueError: another program holds it.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl  # Unix only

        folder.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self.descriptor)
            raise ValueError(f"another command works in {folder}: wait for it, or stop it, and repeat") from error

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
