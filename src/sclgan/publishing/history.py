"""What a run tells of how it was made: its command, cost and scores, and some of its held-out captions."""

from pathlib import Path
from typing import Any

import torch

from sclgan.random import Stream, numpy_generator
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import recipe as recipe_named
from sclgan.runs.differences import differences
from sclgan.runs.evaluations import evaluation_records
from sclgan.runs.folder import resolved
from sclgan.runs.opened import Run
from sclgan.runs.records import read_metrics


def records_of(run: Run) -> list[dict[str, Any]]:
    """The newest evaluation of the checkpoint under each protocol."""
    found = evaluation_records(run.folder)
    own = [record for record in found if (record.get("recipe"), record["step"]) == (run.recipe.name, run.step)]
    return list({record["label"]: record for record in own}.values())


def cost_of(folder: Path, step: int) -> dict[str, float | int] | None:
    """The pictures and the seconds of a phase up to a step; None where it was not run here."""
    costs = [record for record in read_metrics(folder) if "seconds" in record and record["step"] <= step]
    return {name: costs[-1][name] for name in ("images", "seconds")} if costs else None


def held_out_captions(recipe: Recipe, number: int, seed: int = 0) -> list[str]:
    """Captions of rows that were not trained on, one a row.

    Raises:
        FileNotFoundError: the data are not here.
        ValueError: they cannot be read.
    """
    source = recipe.source("test")
    rows = numpy_generator(Stream.CHOICE, seed).permutation(len(source))[:number].tolist()
    drawn = (
        source.picture(row, recipe.image_size, numpy_generator(Stream.SCORED_PICTURE, seed, row), augment=False)
        for row in rows
    )
    return [picture.caption for picture in drawn]


def share_of_noise(run: Run, captions: list[str]) -> float:
    """The difference between pictures of one caption, as a share of that between pictures of different captions.

    Means of absolute differences of pixels, with two noises each; 0 where a caption always gives the same picture.
    """
    drawn = torch.unflatten(run.sample(captions, num_images=2, seed=2).float(), 0, (-1, 2))  # [captions 2 3 h w]
    within = (drawn[:, 0] - drawn[:, 1]).abs().mean()
    between = (drawn[:, 0] - drawn.roll(1, 0)[:, 0]).abs().mean()
    return float(within / between) if between > 0 else 0.0


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
