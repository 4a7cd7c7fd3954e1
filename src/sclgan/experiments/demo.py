"""The main job at a size for two CPU cores: SSA-GAN on emoji with and without the method, graded, on one page.

    python -m sclgan.experiments.demo FOLDER [FIELD=VALUE ...]        such as seed=1

First the model that comes with the package draws, within seconds; then both rows train, with the settings that it was
trained with. Interrupted and repeated it continues. The sizes are chosen for minutes, not for results:
`docs/results.md`.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import sclgan
from sclgan.data.picture_writing import picture_format, write_picture
from sclgan.experiments.compare import compare_runs, embedded
from sclgan.experiments.showcase import CAPTIONS, sheet
from sclgan.experiments.workers import Command, CommandError, CommandPool, FolderLock
from sclgan.files import check_own
from sclgan.metrics.background import CHANCE
from sclgan.runs.evaluations import read_evaluations

SMALL = (
    "image_size=32",
    "encoders.code_size=128",
    "encoders.embedding_size=128",
    "encoders.backbone.image_size=64",
    "gan.nf=16",
    "gan.z_dim=64",
    "gan.mask_channels=16",
    "training.generator_objective.words=0.05",
    "training.generator_objective.sentence=0.05",
    "training.steps=500",
    "training.checkpoint_every=100",
    "training.grid_every=250",
    "training.evaluate_every=250",
    "pretraining.steps=600",
    "pretraining.checkpoint_every=100",
)
"""Fields that the demo sets in every recipe."""

ROWS = {
    "ssagan_emoji": ("pretraining.batch_size=48", "training.batch_size=32"),
    "ssagan_emoji_scl": ("pretraining.batch_size=24", "training.batch_size=16"),
}
"""Batches at which both rows see as many images per step: the method has two views."""

NUM_IMAGES = 1000
MODEL = "emoji"


def run(out: Path, overrides: Sequence[str] = ()) -> Path:
    """Trains, grades and compares the rows in `out`, with fields of both recipes replaced; returns the page.

    On a CPU the rows run side by side, each on one thread.

    Raises:
        CommandError: a command of a row failed; its error is repeated.
        ValueError: the folder holds a page or a picture of another program.
    """
    check_own(out / "index.html")
    picture_format(out / "model.png")
    side_by_side = 1 if torch.cuda.is_available() else min(len(ROWS), os.cpu_count() or 1)
    jobs = {name: _commands(name, out / name, overrides) for name in ROWS}
    with FolderLock(out) as lock:
        opening = draw_with_the_model(out)
        CommandPool(side_by_side, held=lock.descriptor).run(jobs, _ended)
    return compare_runs([out / name for name in ROWS], out, opening=opening)


def draw_with_the_model(out: Path) -> list[tuple[str, str]]:
    """Writes `out`/model.png, drawn by the model that comes with the package; returns captions and data URIs."""
    generator = sclgan.from_pretrained(MODEL)
    pictures = [np.asarray(picture) for picture in generator(list(CAPTIONS), num_images=1, seed=0)]
    write_picture(sheet(pictures, CAPTIONS), out / "model.png")
    print(f"drawn by the model that comes with the package: {out / 'model.png'}", flush=True)
    return [(caption, embedded(pixels)) for caption, pixels in zip(CAPTIONS, pictures, strict=True)]


def _commands(name: str, folder: Path, overrides: Sequence[str]) -> list[Command]:
    train = ["train", name, *SMALL, *ROWS[name], *overrides, "--out", str(folder)]
    evaluate = ["evaluate", str(folder), "--num-images", str(NUM_IMAGES)]
    return [train] if read_evaluations(folder) else [train, evaluate]


def _ended(_row: str, error: CommandError | None) -> None:
    if error is not None:
        raise error


def main() -> None:
    """Runs the demo as the command line says, prints its table and where the page is."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m sclgan.experiments.demo FOLDER [FIELD=VALUE ...]")
    out, began = Path(sys.argv[1]), time.monotonic()
    try:
        page = run(out, sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)  # the commands stopped at a checkpoint
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
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
    named = [of_run[label]["value"] for of_run in records for label in of_run if "background" in label]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(ROWS, named, strict=True))
    return "\n".join(
        [*lines, "", f"Samples whose background is the one that the caption names: {shares} (chance {CHANCE:.0%})"]
    )


if __name__ == "__main__":
    main()
