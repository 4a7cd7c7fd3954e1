"""The bias of Frechet distances as a picture, with its numbers beside it as JSON.

Chong & Forsyth 2020 (arXiv 1911.07023), Fig. 1: the distance against 1 / number of samples, and the line through it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from sclgan.files import MARK, check_own, replaced, write_atomically
from sclgan.metrics.curve import BiasCurve


def check_own_curves(path: Path) -> None:
    """Refuses to replace a picture, or the JSON beside it, that `write_curves` did not write.

    Raises:
        ValueError: see `check_own`.
    """
    check_own(path)
    check_own(path.with_suffix(".json"), b'"num_samples"')


def write_curves(path: Path, curves: Mapping[str, BiasCurve]) -> None:
    """Writes a PNG with a panel for each protocol, and the numbers as JSON beside it."""
    from matplotlib.figure import Figure  # a second that no other command should pay

    numbers = {name: asdict(curve) for name, curve in curves.items()}
    write_atomically(path.with_suffix(".json"), json.dumps(numbers, indent=1).encode())
    figure = Figure(figsize=(4.5 * len(curves), 3.4), layout="constrained", dpi=150)
    for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        inverse = [1 / number for number in curve.num_samples]
        ends = [0.0, max(inverse)]
        axes.plot(ends, [curve.limit.value + curve.slope * x for x in ends], color="#dd8452", linewidth=1.2)
        axes.plot(inverse, curve.values, "o", color="#4c72b0", markersize=4)
        axes.set_xticks([0.0, *inverse], ["infinity", *map(str, curve.num_samples)], rotation=60, fontsize=7)
        axes.set_xlabel("number of samples (spaced as 1 / number)", fontsize=8)
        axes.set_title(f"{name}: {curve.limit.value:.4g} at infinity", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with replaced(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": MARK.decode()})
