"""Curves of runs as one inline SVG: a panel for each quantity, a colour for each run."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd")
"""Colours of the runs, in order: seaborn's "deep" palette, which most colour-blind readers can tell apart."""

COLUMNS = 4


@dataclass(frozen=True)
class Curve:
    """(step, value) points of one run; `number` chooses its colour."""

    name: str
    number: int
    points: Sequence[tuple[int, float]]


def svg(panels: Mapping[str, Sequence[Curve]]) -> str:
    """The panels as an SVG element, empty where there are none."""
    if not panels:
        return ""
    with mpl.rc_context({"svg.hashsalt": "sclgan", "svg.fonttype": "none"}):
        buffer = io.StringIO()
        drawn(panels).savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)


def drawn(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """The panels as a figure."""
    rows = -(-len(panels) // COLUMNS)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(3 * COLUMNS, 2.1 * rows), layout="constrained")
        for place, (title, curves) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, COLUMNS, place + 1)
            for curve in curves:
                steps, values = zip(*curve.points, strict=True)
                color = COLORS[curve.number % len(COLORS)]
                axes.plot(steps, values, color=color, linewidth=1.2, label=curve.name)
            axes.set_title(title, fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
    return figure
