"""A run cut down to a model: recipe, tokenizer, weights that drawing needs, and their SHA-256. See `sclgan.models`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import sclgan
from sclgan import models
from sclgan.encoders.clip import CLIP
from sclgan.files import sha256_of
from sclgan.recipe import Recipe
from sclgan.recipe_json import from_json
from sclgan.runs import checkpoint
from sclgan.runs.folder import RECIPE, resolved
from sclgan.runs.opened import Run, open_run

TRAINING_ONLY = ("label_classifier.", "projection.")
"""Heads of the encoders that only objectives use."""


@dataclass(frozen=True)
class Rounding:
    """Difference of 8-bit pictures from those of the run, over `number` captions."""

    largest: int
    mean: float
    number: int


def write_model(run: Run, folder: Path, *, name: str, half: bool) -> dict[str, str]:
    """Fills the empty folder, all but the card; returns the SHA-256 of each file.

    With `half` matrices are float16. Vectors stay in float32: they are few and of any magnitude.

    Raises:
        ValueError: a weight is not finite, or beyond what half precision holds.
    """
    own = (run.folder / RECIPE).read_bytes()
    told = public_recipe(run.recipe)
    (folder / RECIPE).write_bytes(own if resolved(told) == resolved(run.recipe) else _json(resolved(told)))
    run.tokenizer.save(folder / run.tokenizer.file_name)
    save_file(_weights(run, half=half), folder / models.WEIGHTS, metadata={"format": "pt"})
    (folder / models.WEIGHTS).chmod(0o644)  # safetensors lets nobody else read it, and models are for all
    digests = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
    about = {
        "library_name": models.LIBRARY,
        "library_version": sclgan.__version__,
        "model_type": run.recipe.row.gan,
        "image_size": run.recipe.image_size,
        **{"name": name, "recipe": run.recipe.name, "step": run.step, "sha256": digests},
    }
    (folder / models.ABOUT).write_bytes(_json(about))
    return digests


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a model: CLIP without a file of its own, whose weights are in the model's; no place on a disk."""
    if _is_clip(recipe) and recipe.encoders.keywords.get("weights") is not None:  # type: ignore[attr-defined]
        recipe = replace(recipe, encoders=partial(recipe.encoders, **{"weights": None}))
    content = resolved(recipe)
    told = _without_places(content)
    return recipe if told == content else from_json(json.dumps(told))


def _is_clip(recipe: Recipe) -> bool:
    return isinstance(recipe.encoders, partial) and recipe.encoders.func is CLIP


def _without_places(value: Any) -> Any:
    """The value, with the last part alone of every text that is an absolute path: others' disks are no one's business.

    Texts of other kinds that begin with a slash do not occur in recipes.
    """
    if isinstance(value, Mapping):
        return {name: _without_places(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    if isinstance(value, str) and (value.startswith("~") or PurePosixPath(value).is_absolute()):
        return PurePosixPath(value).name
    if isinstance(value, str) and PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name
    return value


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _weights(run: Run, *, half: bool) -> dict[str, Tensor]:
    encoders = run.encoders
    # Checkpoints leave out what CLIP's public file has. A model needs nothing else.
    own = encoders.state_dict() if isinstance(encoders, CLIP) else checkpoint.own_state(encoders)
    kept = {f"generator.{name}": tensor for name, tensor in checkpoint.own_state(run.gan.generator).items()}
    kept |= {f"encoders.{name}": x for name, x in own.items() if not name.startswith(TRAINING_ONLY)}
    stored = {
        name: (tensor.half() if half and tensor.is_floating_point() and tensor.dim() > 1 else tensor).cpu().contiguous()
        for name, tensor in kept.items()
    }
    if wrong := [name for name, tensor in stored.items() if not tensor.isfinite().all()]:
        what = "half precision does not hold" if half else "NaN or infinity is in"
        raise ValueError(f"{what} {', '.join(wrong[:5])}: has the run diverged?")
    return stored


def rounding(run: Run, folder: Path, captions: list[str]) -> Rounding:
    """How the pictures of a model differ from those of its run, each caption with one noise."""
    model = open_run(folder, images=False)
    pictures = [opened.sample(captions, num_images=1, seed=0).short() for opened in (run, model)]
    difference = torch.sub(*pictures).abs()
    return Rounding(int(difference.max()), float(difference.double().mean()), len(captions))
