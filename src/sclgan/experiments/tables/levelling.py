"""Whether a run has levelled off: what its Frechet distance still does over the last third of its pictures."""

from collections.abc import Sequence
from pathlib import Path

from sclgan.evaluation.protocols import protocols_named
from sclgan.recipe import Recipe
from sclgan.runs.records import read_metrics

LEVEL = 0.05
"""Relative change over the last third below which a run counts as levelled off."""


def change_of_last_third(points: Sequence[tuple[int, float]]) -> float | None:
    """The relative change of a value over the last third of its (step, value) points, by a line of least squares.

    The line evens out the noise of single evaluations. None where the last third holds fewer than three.
    """
    start = 2 * points[-1][0] / 3 if points else 0.0
    last = [(step, value) for step, value in points if step >= start]
    if len(last) < 3:
        return None
    from scipy.stats import linregress  # half a second that no other command should pay

    line = linregress(*zip(*last, strict=True))
    return float(line.slope * (points[-1][0] - start) / (line.intercept + line.slope * start))


def change_of_run(folder: Path, recipe: Recipe) -> float | None:
    """The same for the first Frechet distance that a run's evaluations in training measure; None without any."""
    of_distances = [p.name for p in protocols_named(recipe.training.evaluate_protocols) if p.metric == "frechet"]
    if not of_distances:
        return None
    column = f"evaluation/{of_distances[0]}"
    return change_of_last_third(
        [
            (record["step"], float(value))
            for record in read_metrics(folder)
            for key, value in record.items()
            if key.partition("@")[0] == column
        ]
    )
