"""The main job at a size for two CPU cores: SSA-GAN on emoji with and without the method, graded, on one page.

    python -m sclgan.experiments.demo FOLDER [FIELD=VALUE ...]        such as seed=1

Interrupted and repeated it continues. The sizes are chosen for minutes, not for results: `docs/results.md`.
"""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sclgan.evaluation import evaluate_run, read_evaluations
from sclgan.experiments.compare import compare_runs
from sclgan.metrics.ground import CHANCE
from sclgan.recipe import override
from sclgan.recipes import recipe
from sclgan.train.loop import StoppedError
from sclgan.train.session import train

SMALL = (
    "encoders.code_size=128",
    "encoders.embedding_size=128",
    "encoders.backbone.image_size=64",
    "gan.nf=8",
    "gan.z_dim=32",
    "gan.mask_channels=8",
    "training.generator_learning_rate=1e-3",
    "training.discriminator_learning_rate=2e-3",
    "training.ema_decay=0.98",
    "training.steps=1000",
    "training.checkpoint_every=200",
    "training.grid_every=200",
    "pretraining.steps=360",
    "pretraining.checkpoint_every=100",
)
"""What the demo sets in every recipe."""

ROWS = {
    "ssagan_emoji": ("pretraining.batch_size=48", "training.batch_size=16"),
    "ssagan_emoji_scl": ("pretraining.batch_size=24", "training.batch_size=8"),
}
"""Batches at which both rows see as many images a step: the method has two views."""

NUM_IMAGES = 1000


def run(out: Path, overrides: Sequence[str] = ()) -> Path:
    """Trains, grades and compares the rows in `out`, with fields of both recipes replaced; returns the page."""
    for name, sizes in ROWS.items():
        train(override(recipe(name), [*SMALL, *sizes, *overrides]), out / name)
    for name in ROWS:
        if not read_evaluations(out / name):
            evaluate_run(out / name, num_images=NUM_IMAGES)
    return compare_runs([out / name for name in ROWS], out)


def main() -> None:
    """Runs the demo as the command line says, prints its table and where the page is."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if len(sys.argv) < 2:
        sys.exit("usage: python -m sclgan.experiments.demo FOLDER [FIELD=VALUE ...]")
    out, began = Path(sys.argv[1]), time.monotonic()
    try:
        page = run(out, sys.argv[2:])
    except StoppedError as stopped:
        sys.exit(str(stopped))
    print(table(out))
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes. Open {page.resolve().as_uri()}")


def table(out: Path) -> str:
    """The results of both rows as lines of text."""
    records = [read_evaluations(out / name) for name in ROWS]
    lines = [f"{'':<24}" + "".join(f"{name:>20}" for name in ROWS) + f"{'real pictures':>16}"]
    for label, first in records[0].items():
        values = "".join(f"{of_run[label]['value']:>20.4g}" for of_run in records if label in of_run)
        floor = "" if first["floor"] is None else f"{first['floor']:>16.4g}"
        lines.append(f"{label:<24}{values}{floor}  {first['better']} is better")
    ground = [of_run[label]["value"] for of_run in records for label in of_run if label.startswith("ground")]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(ROWS, ground, strict=True))
    return "\n".join(
        [*lines, "", f"Samples whose ground is the one that the caption names: {shares} (chance {CHANCE:.0%})"]
    )


if __name__ == "__main__":
    main()
