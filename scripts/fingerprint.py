"""Records what a refactor must not change: losses and weights of every recipe, and the value of every protocol.

    python scripts/fingerprint.py before.json      # at the state before
    python scripts/fingerprint.py after.json       # at the state after, on the same machine, then compare the files

Each recipe runs at its tiny size for three steps of both phases on one thread; CUB, COCO and the user's own folder are
small copies with the published layouts. The protocols grade one fixed run and the folder of its pictures. Recipes are
spread over `--jobs` processes.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import photos_on_disk
from runs import final_weights, small
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.folder import evaluate_folder
from sclgan.evaluation.run import evaluate_run
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import KNOWN
from sclgan.runs.records import read_metrics
from sclgan.train.training import train

THREE_STEPS = ["pretraining.steps=3", "training.steps=3", "pretraining.batch_size=4", "training.batch_size=4"]
SEEDED = {"emoji": [], "scenes": ["source.num_scenes=60"]}
ON_DISK: dict[str, Callable[[Path], object]] = {
    "cub": photos_on_disk.birds,
    "coco": photos_on_disk.scenes,
    "folder": photos_on_disk.own_pictures,
}
FIXED = "ssagan_emoji_scl"


def fixed_size(name: str, data: Path) -> Recipe:
    """The recipe at a size that takes seconds, on data that are always the same."""
    source = name.split("_")[1]
    made = small(name)
    if source in SEEDED:
        return override(made, THREE_STEPS + SEEDED[source])
    if not name.startswith("galip"):  # the published trunk is not here
        made = replace(made, encoders=partial(DAMSM, backbone=partial(Lite0, image_size=32), code_size=16))
    steps = [one for one in THREE_STEPS if made.pretraining.steps or not one.startswith("pretraining.steps")]
    return override(made, [*steps, f"source.root={data / source}", "image_size=64", "pretraining.image_size=none"])


def losses(run: Path) -> list[dict[str, float]]:
    """The records of a run without the clock."""
    return [
        {key: value for key, value in record.items() if not key.startswith(("images_per", "seconds", "time"))}
        for record in read_metrics(run)
    ]


def of_recipe(name: str, data: Path) -> tuple[str, object]:
    """The losses of both phases of a recipe and a hash of its weights."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(fixed_size(name, data), run)
        weights = hashlib.sha256()
        for key, tensor in sorted(final_weights(run).items()):
            weights.update(key.encode() + tensor.contiguous().numpy().tobytes())
        recorded = {"pretraining": losses(run / "pretraining"), "training": losses(run)}
        return name, recorded | {"weights": weights.hexdigest()}


def of_protocols(data: Path) -> dict[str, object]:
    """Every value of a fixed run, and of the folder of the pictures it drew."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run, pictures = Path(folder) / "run", Path(folder) / "pictures"
        train(fixed_size(FIXED, data), run)
        of_run = evaluate_run(run, EvaluationOptions(num_images=64), save_pictures=pictures)
        of_folder = evaluate_folder(pictures, EvaluationOptions(reals="emoji", num_workers=1), encoders=run)
        graded = {"run": of_run, "folder": of_folder}
        return {
            f"{kind}/{one.label}": [one.value, one.floor, list(one.interval or ())]
            for kind, results in graded.items()
            for one in results
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="RECIPE", default=list(KNOWN), help="Some recipes instead of all.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        os.environ["SCLGAN_CACHE"] = str(data / "cache")
        for name, make in ON_DISK.items():
            make(data / name)
        recorded: dict[str, object] = {"protocols": of_protocols(data)}
        with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
            for done, (name, found) in enumerate(pool.imap(partial(of_recipe, data=data), arguments.only), start=1):
                recorded[name] = found
                print(f"{done}/{len(arguments.only)} {name}", flush=True)
    arguments.out.write_text(json.dumps(recorded, indent=1, sort_keys=True))
    print(arguments.out)


if __name__ == "__main__":
    main()
