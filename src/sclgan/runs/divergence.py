"""A training that diverged, noted in its run folder: only then may its learning rates differ when it is repeated."""

import json
import time
from pathlib import Path
from typing import Any, Literal

from sclgan.files import write_atomically
from sclgan.runs.json_files import read_object

DIVERGED, CHANGES = "diverged.json", "changes.jsonl"
PRETRAINING = "pretraining"
"""The folder of phase 1 in a run whose training ran it."""
Phase = Literal["pretraining", "training"]
RATES: dict[Phase, tuple[str, ...]] = {
    "pretraining": (
        *("learning_rate", "learning_rate_decay", "minimal_learning_rate", "warmup_steps"),
        *("betas", "clip_text_gradient"),
    ),
    "training": ("generator_learning_rate", "discriminator_learning_rate", "betas", "precision"),
}
"""The fields of each phase that say how a step is taken, and not what is learned: they matter from now on only."""


def note_divergence(folder: Path, step: int, reason: str) -> None:
    """Writes `folder`/diverged.json."""
    write_atomically(folder / DIVERGED, (json.dumps({"step": step, "reason": reason}) + "\n").encode())


def forget_divergence(folder: Path, step: int) -> None:
    """Removes the note where a good checkpoint of `step` is at or beyond the step that diverged."""
    at = diverged_at(folder)
    if at is not None and at <= step:
        (folder / DIVERGED).unlink()


def diverged_at(folder: Path) -> int | None:
    """The step at which the phase in `folder` diverged; None where it did not.

    Raises:
        ValueError: the note is damaged.
    """
    path = folder / DIVERGED
    if not path.exists():
        return None
    step: int = read_object(path, {"step": int}, advice="remove this file")["step"]
    return step


def changeable(folder: Path, phase: Phase) -> set[str]:
    """The fields of the recipe that may differ from those of the run of `phase` in `folder`."""
    places: dict[Phase, Path] = {phase: folder}
    if phase == "training":
        places["pretraining"] = folder / PRETRAINING
    return {
        f"{name}.{field}" for name, place in places.items() if diverged_at(place) is not None for field in RATES[name]
    }


def record_changes(folder: Path, changes: dict[str, list[Any]], step: int) -> None:
    """Appends what differs from `step` on to `folder`/changes.jsonl, field -> (before, now)."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    lines = [
        {"step": step, "field": name, "before": old, "now": new, "time": now} for name, (old, new) in changes.items()
    ]
    with (folder / CHANGES).open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
