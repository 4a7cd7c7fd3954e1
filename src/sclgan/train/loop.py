"""The loop of both phases: batches in, steps, records, checkpoints; stopped at any moment, it continues."""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sclgan import distributed
from sclgan.data.packs.stream import Streamed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch
from sclgan.progress import ProgressLine
from sclgan.random import integer_seed
from sclgan.runs import checkpoint
from sclgan.runs.records import Metrics
from sclgan.train.step import DivergedError

log = logging.getLogger(__name__)


@runtime_checkable
class Phase(Protocol):
    """What the loop drives."""

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]: ...

    @property
    def modules(self) -> dict[str, nn.Module]: ...

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...


@dataclass(frozen=True)
class Hook:
    """Something done every so many steps, and after the last; what it returns goes into the records.

    `at_start` does it before the first step too, as step 0.
    """

    every: int
    action: Callable[[int], dict[str, float] | None]
    at_start: bool = False


class StoppedError(KeyboardInterrupt):
    """A signal asked the run to stop; it stands at a checkpoint."""


def run(
    phase: Phase,
    batches: PairedBatches | Streamed,
    folder: Path,
    *,
    title: str,
    steps: int,
    log_every: int,
    checkpoint_every: int,
    hooks: Sequence[Hook] = (),
    num_workers: int = 0,
) -> None:
    """Trains until `steps`, from the newest checkpoint in `folder` where there is one; 0 steps are the start alone.

    All randomness is a function of the seed and the step, so that the weights at the end are those of a run that was
    never interrupted, bit for bit on the CPU with the same number of ranks. The order of a stream begins anew.

    Raises:
        StoppedError: SIGINT or SIGTERM came; a checkpoint was written, and calling again continues.
        DivergedError: a loss is not finite; the last checkpoint is as it was.
    """
    device = distributed.device()
    start, seconds = _restore(phase, folder / "checkpoints", steps)
    if start == steps > 0:
        return
    if isinstance(batches, PairedBatches):
        loader = DataLoader(batches, batch_size=None, sampler=range(start, steps), num_workers=num_workers)
    else:
        loader = DataLoader(batches.from_step(start), batch_size=None, num_workers=num_workers)
    images_a_step = batches.batch_size * batches.num_views
    began = time.monotonic()
    metrics = Metrics(folder, start or -1)
    if start == 0:
        done = [hook.action(0) or {} for hook in hooks if hook.at_start]
        metrics.write(0, {name: value for record in done for name, value in record.items()})
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with (
        Stopper() as stopper,
        ProgressLine(title, total=steps, done=start, unit_images=images_a_step) as progress,
    ):
        for step, batch in zip(range(start + 1, steps + 1), loader, strict=False):  # a stream has no end
            torch.manual_seed(integer_seed(batches.seed, step, distributed.rank()))  # for dropout
            try:
                terms = phase.step(batch.to(device), step)
            except DivergedError as error:
                raise DivergedError(
                    f"{title}, step {step}: {error}. The last good checkpoint is "
                    f"{checkpoint.latest(folder / 'checkpoints') or 'none yet'}; lower the learning rate and repeat"
                ) from error
            metrics.add(terms)
            if batches.num_views > 1:
                metrics.add({"pairs/with_partner": batch.has_partner.double().mean()})
            progress.advance(step)
            record: dict[str, float | int] = {}
            if step % log_every == 0 or step == steps:
                record |= metrics.averages()
                record["images"] = step * images_a_step
                record["images_per_second"] = progress.images_per_second()
                record["seconds"] = seconds + time.monotonic() - began
                if device.type == "cuda":
                    record["peak_memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
                progress.show({name: record[name] for name in terms})
            for hook in hooks:
                if step % hook.every == 0 or step == steps:
                    record |= hook.action(step) or {}
            metrics.write(step, record)
            due = checkpoint_every and step % checkpoint_every == 0
            if due or step == steps or stopper.requested:
                _save(phase, folder / "checkpoints", step, seconds + time.monotonic() - began)
            if stopper.requested and step < steps:
                metrics.close()
                raise StoppedError(f"{title} stopped after step {step} of {steps}; repeat the command to continue")
    metrics.close()


def _restore(phase: Phase, folder: Path, steps: int) -> tuple[int, float]:
    """Step and seconds that the newest checkpoint has behind it; 0 without one."""
    if distributed.rank() == 0:
        checkpoint.remove_partial(folder)
    distributed.barrier()
    newest = checkpoint.latest(folder)
    if newest is None:
        for module in phase.modules.values():
            distributed.broadcast(module)
        return 0, 0.0
    state: dict[str, Any] = checkpoint.restore(newest, phase.modules, phase.optimizers)
    if state["step"] > steps:
        raise ValueError(f"{newest} is beyond the {steps} steps that were asked for: give another --out")
    if distributed.rank() == 0:
        log.info("continues after step %d of %d", state["step"], steps)
    return state["step"], state["seconds"]


def _save(phase: Phase, folder: Path, step: int, seconds: float) -> None:
    if distributed.rank() == 0:
        checkpoint.save(folder, step, phase.modules, phase.optimizers, {"seconds": seconds})


class Stopper:
    """Turns the first SIGINT or SIGTERM into a request to stop after the step; a second one acts at once.

    With several ranks SIGTERM ends this one at once, with a message: torchrun sends it where another rank is gone, and
    no collective would return. The last checkpoint is what remains.
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
