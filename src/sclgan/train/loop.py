"""The loop of both phases: batches in, steps, records, checkpoints; stopped at any moment, it continues."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sclgan import distributed
from sclgan.data.packs.stream import Streamed
from sclgan.data.pairs import PairedBatches
from sclgan.data.types import Batch
from sclgan.distributed import arithmetic, workers_for
from sclgan.progress import ProgressLine
from sclgan.random import Stream, integer_seed
from sclgan.runs import checkpoint
from sclgan.runs.divergence import forget_divergence, note_divergence
from sclgan.runs.folder import require_run
from sclgan.runs.machines import record_machine
from sclgan.runs.records import Metrics
from sclgan.runs.tracking import TrackerName
from sclgan.train.objectives import DivergedError, Objectives
from sclgan.train.step import check_finite
from sclgan.train.stopper import Stopper

log = logging.getLogger(__name__)


@runtime_checkable
class Phase(Protocol):
    """A phase of training, as the loop drives it."""

    objectives: Objectives
    """Watches over the losses of the steps."""

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]: ...

    @property
    def modules(self) -> dict[str, nn.Module]: ...

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]: ...


@dataclass(frozen=True)
class Hook:
    """An action every so many steps, and after the last; the values that it returns go into the records.

    `at_start` calls it before the first step too, as step 0.
    """

    every: int
    action: Callable[[int], dict[str, float] | None]
    at_start: bool = False


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
    num_workers: int | None = None,
    track: TrackerName | None = None,
    tf32: bool = False,
    cudnn_benchmark: bool = False,
) -> None:
    """Trains until `steps`, from the newest checkpoint in `folder` where there is one; 0 steps are the start alone.

    All randomness is a function of the seed and the step, so that the weights at the end are those of a run that was
    never interrupted, bit for bit on the CPU with the same number of ranks. The order of a stream begins anew.

    On a GPU, and with several ranks, losses are looked at when a record is due and before anything is written or drawn:
    the steps until then are lost. `num_workers` is as in `distributed.workers_for`; `tf32` and `cudnn_benchmark` are as
    in `distributed.arithmetic`, in the steps alone.

    Raises:
        StoppedError: SIGINT or SIGTERM came; a checkpoint was written, and calling again continues.
        DivergedError: a loss or a weight is not finite; the last checkpoint is as it was, and the folder says so.
        FileNotFoundError: the folder was removed meanwhile.
    """
    device = distributed.device()
    num_workers = _num_workers(batches, num_workers)
    start, seconds = _restore(phase, folder / "checkpoints", steps)
    if start == steps > 0:
        return
    record_machine(folder, start)
    began = time.monotonic() - seconds
    images_per_step = batches.batch_size * batches.num_views
    with (
        arithmetic(device),
        _explaining(title, folder) as at,
        closing(Metrics(folder, start or -1, track)) as metrics,
        Stopper() as stopper,
        ProgressLine(title, total=steps, done=start, unit_images=images_per_step) as progress,
    ):
        if start == 0:
            _call([hook for hook in hooks if hook.at_start], 0, metrics)
        at.step = saved = start
        given = _on_device(stopper.interruptible(_loader(batches, start, steps, num_workers)), device)
        for step, batch in zip(range(start + 1, steps + 1), given, strict=False):
            at.step = step
            torch.manual_seed(integer_seed(Stream.DROPOUT, batches.seed, step, distributed.rank()))  # for dropout
            phase.objectives.step = step
            with arithmetic(device, tf32=tf32, cudnn_benchmark=cudnn_benchmark):
                terms = phase.step(batch, step)
            metrics.add(terms)
            if batches.num_views > 1:
                metrics.add({"pairs/with_partner": batch.has_partner.double().mean()})
            progress.advance(step)
            record: dict[str, float | int] = {}
            due = [hook for hook in hooks if step % hook.every == 0 or step == steps]
            due_record = step % log_every == 0 or step == steps
            due_checkpoint = (checkpoint_every and step % checkpoint_every == 0) or step == steps or stopper.requested
            if due or due_record or due_checkpoint:
                phase.objectives.check()
            if due_record:
                record = metrics.averages() | _cost(step * images_per_step, time.monotonic() - began, progress)
                progress.show({name: record[name] for name in terms})
            if due:
                check_finite(phase.modules)
            _call(due, step, metrics, record)
            if due_checkpoint or stopper.requested:
                _save(phase, folder, step, time.monotonic() - began)
                saved = step
            if stopper.requested:
                break
        if at.step > saved:  # a signal came while a batch was awaited
            _save(phase, folder, at.step, time.monotonic() - began)
        stopper.stop_if_requested(title, at.step, steps)
    stopper.stop_if_requested(title, at.step, steps)  # a signal that came while the files were closed


def _num_workers(batches: PairedBatches | Streamed, asked: int | None) -> int:
    """The processes that prepare batches; those of a stream, unless asked for, are no more than its shards."""
    number = workers_for(distributed.device(), asked)
    if asked is None and isinstance(batches, Streamed):
        number = min(number, len(batches.urls) // distributed.world_size())
    if distributed.rank() == 0 and asked is None and number:
        log.info("%d processes prepare batches for each rank; --num-workers sets their number", number)
    return number


def _loader(batches: PairedBatches | Streamed, start: int, steps: int, num_workers: int) -> DataLoader[Batch]:
    """The batches of the steps from `start` on; a stream has no end."""
    pin_memory = distributed.device().type == "cuda"
    if isinstance(batches, PairedBatches):
        sampler = range(start, steps)
        return DataLoader(batches, None, sampler=sampler, num_workers=num_workers, pin_memory=pin_memory)
    return DataLoader(batches.from_step(start), None, num_workers=num_workers, pin_memory=pin_memory)


def _on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on the device; on a GPU the copy of the next one is under way before a step is given its own."""
    ready: Batch | None = None
    for batch in batches:
        coming = batch.to(device)
        if device.type == "cpu":
            yield coming
            continue
        if ready is not None:
            yield ready
        ready = coming
    if ready is not None:
        yield ready


def _call(hooks: Sequence[Hook], step: int, metrics: Metrics, record: dict[str, float | int] | None = None) -> None:
    """Calls hooks, and writes the record of the step with the values that they return."""
    values = dict(record or {})
    for hook in hooks:
        require_run(metrics.path.parent)
        values |= hook.action(step) or {}
    if values:
        require_run(metrics.path.parent)
        metrics.write(step, values)


def _cost(num_images: int, seconds: float, progress: ProgressLine) -> dict[str, float | int]:
    """The pictures, time and memory of a record."""
    cost: dict[str, float | int] = {
        "images": num_images,
        "images_per_second": progress.images_per_second(),
        "seconds": seconds,
    }
    if (device := distributed.device()).type == "cuda":
        cost["peak_memory_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return cost


@dataclass
class _Place:
    """How far the loop is."""

    step: int = 0


@contextmanager
def _explaining(title: str, folder: Path) -> Iterator[_Place]:
    """Within it a divergence is noted in the folder, and its message says where it was and what to do."""
    place = _Place()
    try:
        yield place
    except DivergedError as error:
        step = place.step if error.step is None else error.step
        if distributed.rank() == 0:
            note_divergence(folder, step, str(error))
        raise DivergedError(
            f"{title}, step {step}: {error}. The last good checkpoint is "
            f"{checkpoint.latest(folder / 'checkpoints') or 'none yet'}; lower the learning rate and repeat the command"
        ) from error


def _restore(phase: Phase, folder: Path, steps: int) -> tuple[int, float]:
    """The step of the newest checkpoint and the seconds spent until then; 0 without one."""
    if distributed.device().type == "cuda":
        torch.cuda.reset_peak_memory_stats(distributed.device())
    newest = checkpoint.latest(folder)
    if newest is None:
        for module in phase.modules.values():
            distributed.broadcast(module)
        return 0, 0.0
    step, seconds = checkpoint.restore(newest, phase.modules, phase.optimizers)
    if step > steps:
        raise ValueError(f"{newest} is beyond the {steps} steps that were asked for: give another --out")
    if distributed.rank() == 0:
        log.info("continues after step %d of %d", step, steps)
    return step, seconds


def _save(phase: Phase, folder: Path, step: int, seconds: float) -> None:
    phase.objectives.check()  # a signal may have come since the last look
    check_finite(phase.modules)  # on every rank, so that all of them stop
    require_run(folder)
    if distributed.rank() == 0:
        checkpoint.save(folder / "checkpoints", step, phase.modules, phase.optimizers, seconds)
        forget_divergence(folder, step)
