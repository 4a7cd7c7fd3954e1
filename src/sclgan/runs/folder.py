"""The run folder: whose run it is, and the recipe that it was made by.

recipe.json  vocabulary.json  encoders.safetensors      what decides and what pre-training made
checkpoints/step_00001000/    weights and optimizers    metrics.jsonl  events.*  the records
grids/                        samples at fixed noise    evaluations.jsonl        results of `sclgan evaluate`
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sclgan import distributed
from sclgan.files import write_atomically
from sclgan.recipe import Recipe
from sclgan.recipe_json import from_json, to_json

RECIPE, ENCODERS = "recipe.json", "encoders.safetensors"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Everything that a recipe decides, as JSON."""
    content: dict[str, Any] = json.loads(to_json(recipe))
    return content


def pretraining_parts(recipe: Recipe) -> dict[str, Any]:
    """What phase 1 depends on, as JSON: not the name, not the GAN and its training."""
    others = ("name", "row", "about", "gan", "training")
    return {name: part for name, part in resolved(recipe).items() if name not in others}


def claim(folder: Path, recipe: Recipe, parts: Callable[[Recipe], dict[str, Any]] = resolved) -> None:
    """Makes `folder` the run of `recipe`, or checks that it is, so that one run never continues another.

    `parts` of the recipe decide the run. Steps and cadences may differ: they say how long and how often, not what.

    Raises:
        ValueError: the folder holds a run of another recipe, or something else.
    """
    path = folder / RECIPE
    if path.exists() and any(folder.rglob("*.safetensors")):  # before, nothing was trained that could be lost
        differences = _differences(parts(from_json(path.read_text())), parts(recipe))
        if differences:
            raise ValueError(f"{folder} holds another run: {'; '.join(differences)}. Give another --out")
    elif folder.is_dir() and any(folder.iterdir()) and not path.exists():
        raise ValueError(f"{folder} is not empty and holds no run of sclgan: give another --out")
    elif folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: --out names a folder")
    distributed.barrier()
    if distributed.rank() == 0:
        write_atomically(path, to_json(recipe).encode())


def _differences(old: object, new: object, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in sorted(old.keys() | new.keys())
            if name not in ("about", "steps") and not name.startswith("evaluate_") and not name.endswith("_every")
            for line in _differences(old.get(name), new.get(name), f"{path}.{name}".strip("."))
        ]
    return [] if old == new else [f"{path} is {old} there, {new} here"]


def saved_recipe(folder: Path) -> Recipe:
    """The recipe of a run folder.

    Raises:
        FileNotFoundError: it is no run folder.
    """
    path = folder / RECIPE
    if not path.exists():
        raise FileNotFoundError(f"{folder} is no run folder: it has no {RECIPE}; `sclgan train` makes one")
    return from_json(path.read_text())
