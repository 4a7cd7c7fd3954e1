"""The runs behind a table: pre-train, train and grade those that are missing, side by side where there is room.

encoders/DATA_seed0_0123456789/    one pre-training for all rows that agree in it
runs/NAME_seed0/                   a run folder per row and seed
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.distributed import workers_for
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import SPLIT, evaluate_run
from sclgan.experiments.tables.definitions import Table, assignments_for, check, resolve
from sclgan.experiments.workers import Command, CommandPool, FolderLock, devices
from sclgan.recipe import Recipe
from sclgan.runs import checkpoint
from sclgan.runs.evaluations import read_evaluations
from sclgan.runs.folder import ENCODERS, pretraining_parts, resolved, saved_recipe
from sclgan.train.pretraining import pretrain
from sclgan.train.training import train

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableRun:
    """A row of a table with one seed. `fields` turn the recipe of its name into this one, on the command line."""

    name: str
    seed: int
    recipe: Recipe
    fields: tuple[str, ...]
    folder: Path
    encoders: Path
    num_images: int | None
    """Pictures that are graded; None takes each protocol's own number."""

    @property
    def title(self) -> str:
        return f"{self.name}, seed {self.seed}"

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """The records of the finished run, by protocol, without those of fewer steps or of another number of images."""
        return {
            label: record
            for label, record in read_evaluations(self.folder).items()
            if record["step"] == self.recipe.training.steps
            and record["checkpoint"] == "last"
            and (record["num_samples"] == self.num_images if self.num_images else "@" not in label)
        }

    def is_pretrained(self) -> bool:
        steps = self.recipe.pretraining.steps
        return (self.encoders / ENCODERS).exists() and (not steps or _stands_at(steps, self.encoders))

    def is_trained(self) -> bool:
        if not _stands_at(self.recipe.training.steps, self.folder):
            return False
        return resolved(saved_recipe(self.folder)) == resolved(self.recipe)


def _stands_at(step: int, folder: Path) -> bool:
    return checkpoint.steps(folder / "checkpoints")[-1:] == [step]


def plan(
    table: Table,
    out: Path,
    *,
    num_seeds: int,
    budget: int | None = None,
    assignments: Sequence[str] = (),
    num_images: int | None = None,
) -> list[TableRun]:
    """The runs of a table, seed by seed, so that an interrupted one has rows to compare.

    Raises:
        ValueError: no seed, a field that no row has, or a budget below one step.
    """
    if num_seeds < 1:
        raise ValueError(f"--seeds must be at least 1, not {num_seeds}")
    check([name for group in table.groups for name in group.names], assignments)
    runs = []
    for seed in range(num_seeds):
        for group in table.groups:
            for name in group.names:
                recipe = resolve(name, seed=seed, assignments=assignments, budget=budget)
                fields = [
                    *assignments_for(name, assignments),
                    f"seed={seed}",
                    f"training.steps={recipe.training.steps}",
                ]
                folder, encoders = out / "runs" / f"{name}_seed{seed}", out / "encoders" / _key(group.data, recipe)
                runs.append(TableRun(name, seed, recipe, tuple(fields), folder, encoders, num_images))
    return runs


def _key(data: str, recipe: Recipe) -> str:
    """The name of a pre-training, made from what decides it; how often it writes checkpoints does not."""
    parts = pretraining_parts(recipe)
    parts["pretraining"] = {name: v for name, v in parts["pretraining"].items() if not name.endswith("_every")}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{data}_seed{recipe.seed}_{digest[:10]}"


def missing_data(runs: Sequence[TableRun]) -> dict[str, str]:
    """Data set -> the reason why it cannot be opened; empty where all of them can."""
    reasons: dict[str, str] = {}
    firsts: dict[str, TableRun] = {}
    for run in runs:
        firsts.setdefault(run.recipe.row.data, run)
    for data, run in firsts.items():
        try:
            for split in ("train", SPLIT):
                run.recipe.source(split)
        except (OSError, ValueError) as error:
            reasons[data] = str(error)
    return reasons


@dataclass(frozen=True)
class Job:
    """Steps one after the other: each as a command line, and as the call that it makes."""

    title: str
    steps: tuple[tuple[Command, Callable[[], object]], ...]


def run_missing(
    runs: Sequence[TableRun], out: Path, *, jobs: int | None, num_workers: int | None, graded: Callable[[], None]
) -> dict[str, str]:
    """Makes the missing runs and returns the titles of those that failed, with their errors.

    Under torchrun, and with one job, everything runs in this process, one run after the other; else as `jobs`
    processes, each on a GPU or a CPU thread of its own. None runs one job per GPU. `graded` is called after every run.

    Raises:
        KeyboardInterrupt: it was interrupted; calling again continues.
        ValueError: another program works in `out`, or `jobs` is less than 1.
    """
    together = distributed.world_size() > 1
    num_jobs = (1 if together else max(len(devices()), 1)) if jobs is None else jobs
    if num_jobs < 1 or (together and num_jobs > 1):
        raise ValueError(f"--jobs {jobs}: at least 1, and under torchrun, where all ranks train one run, no more")
    if num_jobs > 1:
        num_workers = workers_for(distributed.device(), num_workers, num_jobs=num_jobs)
    failed: dict[str, str] = {}
    with FolderLock(out) if distributed.rank() == 0 else nullcontext() as lock:
        workers = CommandPool(num_jobs, held=lock.descriptor) if lock is not None and num_jobs > 1 else None
        missing = {run.encoders: run for run in reversed(runs) if not run.is_pretrained()}  # the first of each
        missing = dict(reversed(missing.items()))
        _run_all([_pretraining(run, num_workers) for run in _agreed(list(missing.values()))], workers, failed)
        trained = [
            run
            for run in _agreed([run for run in runs if not (run.is_trained() and run.evaluations())])
            if run.is_pretrained()
        ]
        _run_all([_training(run, num_workers) for run in trained], workers, failed, graded)
    return failed


def _agreed(runs: list[TableRun]) -> list[TableRun]:
    """The runs that rank 0 found: files that it writes must not change the plans of others."""
    found: list[TableRun] = distributed.gather_objects(runs)[0]
    return found


def _workers(number: int | None) -> Command:
    """The option of a command that says how many processes prepare batches, unless the command decides."""
    return [] if number is None else ["--num-workers", str(number)]


def _pretraining(run: TableRun, num_workers: int | None) -> Job:
    command = ["pretrain", run.name, *run.fields, "--out", str(run.encoders), *_workers(num_workers)]
    call = partial(pretrain, run.recipe, run.encoders, num_workers=num_workers)
    return Job(f"encoders of {run.title}", ((command, call),))


def _training(run: TableRun, num_workers: int | None) -> Job:
    command = ["train", run.name, *run.fields, "--out", str(run.folder), "--encoders", str(run.encoders)]
    call = partial(train, run.recipe, run.folder, encoders=run.encoders, num_workers=num_workers)
    training = ([*command, *_workers(num_workers)], call)
    number = [] if run.num_images is None else ["--num-images", str(run.num_images)]
    grading = (
        ["evaluate", str(run.folder), *number],
        partial(evaluate_run, run.folder, EvaluationOptions(num_images=run.num_images)),
    )
    return Job(run.title, (*[training] * (not run.is_trained()), *[grading] * (not run.evaluations())))


def _run_all(
    jobs: Sequence[Job],
    workers: CommandPool | None,
    failed: dict[str, str],
    graded: Callable[[], None] = lambda: None,
) -> None:
    """Runs the jobs, in this process or by the workers; a failed one is noted, and the others go on."""

    def note(title: str, error: Exception | None) -> None:
        if error is not None:
            failed[title] = str(error)
        say(f"[{next(counter)}/{len(jobs)}] {title}: {'done' if error is None else f'failed: {error}'}")
        graded()

    counter = iter(range(1, len(jobs) + 1))
    if workers is not None:
        workers.run({job.title: [command for command, _ in job.steps] for job in jobs}, note)
        return
    with said_once(logging.getLogger("sclgan.evaluation.engine")):
        for number, job in enumerate(jobs, 1):
            say(f"[{number}/{len(jobs)}] {job.title}")
            try:
                for _, call in job.steps:
                    call()
            except (ValueError, OSError, FloatingPointError) as error:
                if distributed.world_size() > 1:
                    raise  # the other ranks may not have failed
                note(job.title, error)
            else:
                note(job.title, None)


@contextmanager
def said_once(logger: logging.Logger) -> Iterator[None]:
    """Keeps a logger from repeating itself within it, such as on protocols that do not fit any of the runs."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        num_said = len(said)
        said.add(record.getMessage())
        return len(said) > num_said

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def say(text: str) -> None:
    """Logs a line of progress, on rank 0 alone."""
    if distributed.rank() == 0:
        log.info("%s", text)
