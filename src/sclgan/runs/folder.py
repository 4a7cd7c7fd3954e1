"""The run folder: whose run it is, and the recipe that made it.

recipe.json  data.json                           what decides the run
vocabulary.json  encoders.safetensors            what pre-training made
checkpoints/step_00001000/                       weights and optimizers
metrics.jsonl  events.*  grids/                  the records, and samples at fixed noise
evaluations.jsonl                                results of `sclgan evaluate`
changes.jsonl                                    learning rates and data that changed on the way, if any did
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.files import read_content, write_atomically
from sclgan.recipe import Recipe
from sclgan.recipe_json import from_json, to_json
from sclgan.runs import checkpoint
from sclgan.runs.differences import differences
from sclgan.runs.divergence import RATES, Phase, changeable, record_changes
from sclgan.runs.left_overs import is_empty, remove_left_overs
from sclgan.runs.lock import locked

log = logging.getLogger(__name__)

RECIPE, ENCODERS = "recipe.json", "encoders.safetensors"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Everything that a recipe decides, as JSON."""
    content: dict[str, Any] = json.loads(to_json(recipe))
    return content


def pretraining_parts(recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe that phase 1 depends on, as JSON: not the name, not the GAN and its training."""
    others = ("name", "row", "about", "gan", "training")
    return {name: part for name, part in resolved(recipe).items() if name not in others}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps a run folder, which is made where there is none, for this job within the `with`.

    What a killed process left half-written is removed.

    Raises:
        ValueError: the folder holds something other than a run, or another command trains in it.
    """
    _refuse_foreign(folder)
    distributed.barrier()  # every rank has looked before one writes
    with locked(folder):
        if distributed.rank() == 0:
            remove_left_overs(folder)
        distributed.barrier()
        yield


def claim(folder: Path, recipe: Recipe, phase: Phase = "training") -> None:
    """Makes `folder` the run of `recipe`, or checks that it is, so that one run never continues another.

    What the phase depends on decides the run. Steps and cadences may differ: they say how long and how often, not
    what. Learning rates may differ where the run diverged (see `divergence`), and the log says what changed.

    Raises:
        ValueError: the folder holds a run of another recipe, or something else.
    """
    _refuse_foreign(folder)
    path = folder / RECIPE
    changes: dict[str, list[Any]] = {}
    if path.exists() and any(folder.rglob("*.safetensors")):  # before, nothing was trained that could be lost
        changes = _changes(folder, recipe, phase)
    distributed.barrier()
    if distributed.rank() == 0:
        if changes:
            step = max(checkpoint.steps(folder / "checkpoints"), default=0)
            record_changes(folder, changes, step)
            for name, (old, new) in changes.items():
                log.info("%s: %s is %s from step %d on, after %s", folder, name, new, step, old)
        write_atomically(path, to_json(recipe).encode())


def _changes(folder: Path, recipe: Recipe, phase: Phase) -> dict[str, list[Any]]:
    """The fields in which `recipe` differs from the run in `folder`, where all of them may.

    Raises:
        ValueError: one of them decides the run.
    """
    parts = resolved if phase == "training" else pretraining_parts
    found = {
        name: values
        for name, values in differences([parts(saved_recipe(folder)), parts(recipe)]).items()
        if not any(_says_how_long(part) for part in name.split("."))
    }
    allowed = changeable(folder, phase)
    if refused := {name: values for name, values in found.items() if name not in allowed}:
        said = "; ".join(f"{name} is {old} there, {new} here" for name, (old, new) in refused.items())
        rates = {f"{of}.{field}" for of, fields in RATES.items() for field in fields}
        hint = (
            ", or the same learning rates: they may change only after a run has diverged"
            if rates & refused.keys()
            else ""
        )
        raise ValueError(f"{folder} holds another run: {said}. Give another --out{hint}")
    return found


def _says_how_long(field: str) -> bool:
    return field in ("about", "steps") or field.startswith("evaluate_") or field.endswith("_every")


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --out names a folder")
    if folder.is_dir() and not (folder / RECIPE).exists() and not is_empty(folder):
        raise ValueError(f"{folder} is not empty and is not a run folder of sclgan: give another --out")


def require_run(folder: Path) -> None:
    """Fails where a run folder was removed or moved while the run goes on, so that it is not half rebuilt.

    Raises:
        FileNotFoundError: its recipe is gone.
    """
    if not (folder / RECIPE).exists():
        raise FileNotFoundError(
            f"{folder} was removed or moved while the run was going on: nothing more is written; repeat the command "
            "to begin anew, or move the folder back to continue from its newest checkpoint"
        )


def saved_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder.

    Raises:
        FileNotFoundError: it is not a run folder.
        ValueError: the recipe is damaged, or of another version of sclgan.
    """
    path = folder / RECIPE
    if not path.exists():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no {RECIPE}; `sclgan train` makes one")
    try:
        return from_json(read_content(path).decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; restore it from a copy, or train the run again") from error
