"""Turns a finished run into a model of the package: `sclgan sample NAME` then needs nothing else.

    python scripts/build_model.py RUN --name emoji          writes src/sclgan/models/emoji

The folder holds the run's recipe and tokenizer, the averaged generator and the encoders in half precision, and a model
card. Every number of the card is from the records of the run: evaluate it first, `sclgan evaluate RUN`.
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from model_card import Facts, card
from safetensors.torch import save_file
from torch import Tensor

from sclgan import models
from sclgan.data.sets.emoji import Emoji, collection
from sclgan.data.sets.scenes import Scenes
from sclgan.files import replaced, sha256_of
from sclgan.random import Stream, numpy_generator
from sclgan.recipe import Recipe, class_of
from sclgan.recipe_fields import override
from sclgan.recipes import recipe as recipe_named
from sclgan.runs import checkpoint
from sclgan.runs.differences import differences
from sclgan.runs.evaluations import evaluation_records
from sclgan.runs.folder import RECIPE, resolved, saved_recipe
from sclgan.runs.opened import Run, open_run
from sclgan.runs.records import read_metrics

LARGEST = 12_000_000
"""Largest size of a model in bytes: the package must stay small."""
LARGEST_ROUNDING = 8
"""Largest change of any pixel by half precision, in levels of 255."""
NUM_COMPARED = 32
TRAINING_ONLY = ("label_classifier.", "projection.")
"""Heads of the encoders that only objectives use."""


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished and evaluated run folder")
    parser.add_argument("--name", required=True, help="what the model is called")
    parser.add_argument("--checkpoint", default="last", help="last, best or a step")
    parser.add_argument("--out", type=Path, default=models.home(), help="the folder that receives the model's folder")
    arguments = parser.parse_args()
    try:
        made = build(arguments.run, arguments.name, arguments.out, name_of_checkpoint=arguments.checkpoint)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{type(error).__name__}: {error}\n")
    print(f"{made}: {sum(file.stat().st_size for file in made.iterdir()):,} bytes")


def build(folder: Path, name: str, out: Path, *, name_of_checkpoint: str = "last") -> Path:
    """Writes the folder `out`/`name`, whole or not at all, and returns its path.

    The image heads of DAMSM are among the weights, 0.7 MB at the published width: with them the model can also be
    evaluated by R-precision, and finds pictures for captions.

    Raises:
        FileNotFoundError: `folder` is not a run, or has no such checkpoint.
        ValueError: the run is unfinished or was not evaluated, its data are not those that come with the package, or
            the model is too large or too coarse.
    """
    recipe = _checked(folder, name)
    run = open_run(folder, name_of_checkpoint)
    records = _records(folder, run)
    with replaced(out / name) as made:
        made.mkdir(parents=True)
        (made / RECIPE).write_bytes((folder / RECIPE).read_bytes())
        run.tokenizer.save(made / run.tokenizer.file_name)
        save_file(_halves(run), made / models.WEIGHTS, metadata={"format": "pt"})
        digests = {file.name: sha256_of(file) for file in sorted(made.iterdir())}
        about = {"name": name, "recipe": recipe.name, "step": run.step, "sha256": digests}
        (made / models.WEIGHTS).chmod(0o644)  # safetensors lets nobody else read it, and packages are for all
        (made / models.ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        rounding = _rounding(run, open_run(made))
        if rounding.largest > LARGEST_ROUNDING:
            raise ValueError(
                f"half precision changes pictures by up to {rounding.largest} of 255 levels, more than "
                f"{LARGEST_ROUNDING}: has the run diverged?"
            )
        facts = Facts(
            name=name,
            recipe=resolved(recipe),
            step=run.step,
            command=command(recipe),
            pretraining=_cost(folder / "pretraining", recipe.pretraining.steps),
            training=_cost(folder, run.step),
            records=records,
            sizes={file: (made / file).stat().st_size for file in digests},
            sha256=digests,
            vocabulary=run.tokenizer.num_tokens - 1,
            num_parameters=sum(parameter.numel() for parameter in run.gan.generator.parameters()),
            largest_rounding=rounding.largest,
            mean_rounding=rounding.mean,
            num_compared=NUM_COMPARED,
            share_of_noise=_share_of_noise(run),
            attribution=collection().attribution,
        )
        (made / "README.md").write_text(card(facts))
        size = sum(file.stat().st_size for file in made.iterdir())
        if size > LARGEST:
            raise ValueError(
                f"the model has {size:,} bytes, more than {LARGEST:,}: train a narrower one, such as SSA-GAN with "
                "gan.nf=24, or with encoders.code_size=128 and gan.nf=32"
            )
    return out / name


def _checked(folder: Path, name: str) -> Recipe:
    """The recipe of a run that may become a model of that name."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise ValueError(f"a model is called by lower-case letters, digits, - and _, not '{name}'")
    if models.is_model(folder):
        raise ValueError(f"{folder} is a model already: give the run that it was built from")
    recipe = saved_recipe(folder)
    if not issubclass(class_of(recipe.source), Emoji | Scenes):
        raise ValueError(f"{recipe.name} was trained on other pictures than the embedded drawings: may its model ship?")
    done = max(checkpoint.steps(folder / "checkpoints"), default=0)
    if done < recipe.training.steps:
        raise ValueError(
            f"{folder} is not finished: it has {done} of {recipe.training.steps} steps; repeat `sclgan train`"
        )
    return recipe


def _records(folder: Path, run: Run) -> list[dict[str, Any]]:
    """The newest evaluation of the checkpoint under each protocol."""
    found = evaluation_records(folder)
    own = [record for record in found if (record.get("recipe"), record["step"]) == (run.recipe.name, run.step)]
    newest = {record["label"]: record for record in own}
    if not newest:
        others = ", ".join(sorted({str(record["step"]) for record in found})) or "none"
        raise ValueError(
            f"{folder} has no evaluation of step {run.step} (of other steps: {others}): `sclgan evaluate {folder}`"
        )
    return list(newest.values())


def _halves(run: Run) -> dict[str, Tensor]:
    """The weights that drawing needs. Vectors stay in float32: they are few and of any magnitude.

    Raises:
        ValueError: a weight is beyond what half precision holds.
    """
    kept = {f"generator.{name}": tensor for name, tensor in checkpoint.own_state(run.gan.generator).items()}
    for name, tensor in checkpoint.own_state(run.encoders).items():
        if not name.startswith(TRAINING_ONLY):
            kept[f"encoders.{name}"] = tensor
    halves = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor).cpu().contiguous()
        for name, tensor in kept.items()
    }
    if wrong := [name for name, tensor in halves.items() if not tensor.isfinite().all()]:
        raise ValueError(f"half precision does not hold {', '.join(wrong[:5])}: has the run diverged?")
    return halves


def _share_of_noise(run: Run) -> float:
    """The difference between pictures of one caption, as a share of that between pictures of different captions.

    Means of absolute differences of pixels, over `NUM_COMPARED` held-out captions with two noises each; 0 where a
    caption always gives the same picture.
    """
    source = run.recipe.source("test")
    rows = numpy_generator(Stream.CHOICE, 2).permutation(len(source))[:NUM_COMPARED]
    size = run.recipe.image_size
    captions = [
        source.picture(int(row), size, numpy_generator(Stream.SCORED_PICTURE, 2, int(row)), augment=False).caption
        for row in rows
    ]
    drawn = run.sample(captions, num_images=2, seed=2).float().unflatten(0, (-1, 2))  # [captions 2 3 h w]
    within = (drawn[:, 0] - drawn[:, 1]).abs().mean()
    return float(within / (drawn[:, 0] - drawn.roll(1, 0)[:, 0]).abs().mean())


@dataclass(frozen=True)
class Rounding:
    """Difference of 8-bit pictures from those of the run."""

    largest: int
    mean: float


def _rounding(run: Run, model: Run) -> Rounding:
    """The rounding of pictures of held-out captions, each with its own noise."""
    source = run.recipe.source("test")
    rows = numpy_generator(Stream.CHOICE, 0).permutation(len(source))[:NUM_COMPARED].tolist()
    size = run.recipe.image_size
    captions = [
        source.picture(row, size, numpy_generator(Stream.SCORED_PICTURE, 0, row), augment=False).caption for row in rows
    ]
    pictures = [opened.sample(captions, num_images=1, seed=0).short() for opened in (run, model)]
    difference = torch.sub(*pictures).abs()
    return Rounding(int(difference.max()), float(difference.double().mean()))


def _cost(folder: Path, step: int) -> dict[str, float] | None:
    """The pictures and the seconds of a phase up to a step; None where it was not run here."""
    costs = [record for record in read_metrics(folder) if "seconds" in record and record["step"] <= step]
    return {name: costs[-1][name] for name in ("images", "seconds")} if costs else None


def command(recipe: Recipe) -> str | None:
    """The command that trains this recipe; None where the fields of a recipe by name do not make it."""
    try:
        base = recipe_named(recipe.name)
        fields = assignments(resolved(base), resolved(recipe))
        same = resolved(override(base, fields)) == resolved(recipe)
    except ValueError:
        return None
    return " ".join(["sclgan train", recipe.name, *fields, "--out DIR"]) if same else None


def assignments(base: Any, own: Any) -> list[str]:
    """FIELD=VALUE for each field in which two resolved recipes differ."""
    found = differences([base, own])
    return [
        f"{path}={_text(value)}"
        for path, (_, value) in found.items()
        if path.rpartition(".")[2] not in ("about", "call")
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
