"""The worth of each setting for small data: SSA-GAN on emoji at 32 pixels, each row for the same processor time.

    python benchmarks/small_data.py FOLDER [--seconds 300] [--encoders DIR] [--seed 0]

Rows train one after the other in FOLDER, from one pre-training; a row with "+" keeps the settings of the rows above.
A row's steps are its seconds divided by the time of a step, measured first. Interrupted and repeated it
continues. The table goes to FOLDER/small_data.json, for `docs/small-data.md`.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from sclgan.data.captions import Vocabulary
from sclgan.data.pairs import PairedBatches
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.run import evaluate_run
from sclgan.experiments.compare import compare_runs
from sclgan.experiments.showcase import CAPTIONS
from sclgan.files import write_atomically
from sclgan.gans.feature_discriminator import FeatureDiscriminator
from sclgan.recipe import Recipe, Training
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.recipes.published import ssagan_training
from sclgan.recipes.small_data import (
    with_augmentation,
    with_averaging,
    with_features,
    with_lazy_penalty,
    with_matching,
)
from sclgan.runs.evaluations import read_evaluations
from sclgan.runs.machines import machine
from sclgan.runs.opened import open_run
from sclgan.train.gan_phase import GANPhase
from sclgan.train.pretraining import pretrain
from sclgan.train.training import train, with_feature_discriminator

SIZES = (
    "image_size=32",
    "encoders.backbone.image_size=64",
    "gan.nf=16",
    "gan.mask_channels=16",
    "gan.z_dim=64",
    "pretraining.steps=1500",
    "training.evaluate_every=0",
    "training.grid_every=0",
    "training.log_every=50",
)
PROTOCOLS = ("class_accuracy", "class_accuracy_top5", "fd_lite2", "diversity_lite2", "background_accuracy")
NUM_IMAGES, NUM_CAPTIONS = 1000, 10
WARM_UP, MEASURED = 4, 8  # steps; both are multiples of the lazy penalty's period


def rows() -> dict[str, Recipe]:
    """The rows by name."""
    tuned = recipe("ssagan_emoji")
    published = ssagan_training(steps=1, batch_size=32)
    rates = {name: getattr(tuned.training, name) for name in ("generator_learning_rate", "discriminator_learning_rate")}
    published = with_averaging(replace(published, **rates, betas=tuned.training.betas))

    def row(*changes: Callable[[Training], Training], features: bool = False, batch_size: int = 32) -> Recipe:
        training = replace(published, batch_size=batch_size)
        for change in changes:
            training = change(training)
        second = partial(FeatureDiscriminator) if features else None
        return override(replace(tuned, training=training, feature_discriminator=second), SIZES)

    both = (with_features, with_augmentation)
    return {
        "published objective": row(),
        "augmentation": row(with_augmentation),
        "feature discriminator": row(with_features, features=True),
        "both": row(*both, features=True),
        "both + lazy penalty": row(*both, with_lazy_penalty, features=True),
        "+ matching x 10": row(*both, with_lazy_penalty, partial(with_matching, weight=0.5), features=True),
        "+ batch 64": row(*both, with_lazy_penalty, partial(with_matching, weight=0.5), features=True, batch_size=64),
        "batch 64, matching as published": row(*both, with_lazy_penalty, features=True, batch_size=64),
    }


def seconds_per_step(made: Recipe) -> float:
    """Processor time of a step, with random encoders: the same work."""
    source = made.source("train")
    vocabulary = Vocabulary.of(source.captions(), max_words=made.max_words)
    encoders = made.encoders(vocabulary.num_tokens).requires_grad_(False).eval()
    gan = with_feature_discriminator(made.gan(encoders, image_size=made.image_size), made, encoders)
    phase = GANPhase(gan, encoders, made.training, seed=0)
    size = made.training.batch_size
    batches = PairedBatches(source, vocabulary, num_views=1, batch_size=size, image_size=made.image_size, seed=0)
    for step in range(1, WARM_UP + MEASURED + 1):
        phase.step(batches[step].to(torch.device("cpu")), step)
        if step == WARM_UP:
            began = time.process_time()
    return (time.process_time() - began) / MEASURED


def main() -> None:
    """Trains and grades the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--encoders", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    encoders = given.encoders or given.folder / "encoders"
    made = rows()
    if given.encoders is None:
        pretrain(next(iter(made.values())), encoders)
    table = []
    for name, one in made.items():
        folder = folder_of(given.folder, name)
        costs = folder.with_suffix(".json")
        if not costs.exists():
            cost = seconds_per_step(one)
            write_atomically(
                costs, json.dumps({"seconds_per_step": cost, "steps": round(given.seconds / cost)}).encode()
            )
        cost = json.loads(costs.read_text())
        train(
            replace(one, seed=given.seed, training=replace(one.training, steps=cost["steps"])),
            folder,
            encoders=encoders,
        )
        if not read_evaluations(folder):
            evaluate_run(folder, EvaluationOptions(PROTOCOLS, num_images=NUM_IMAGES))
        found = dict(read_evaluations(folder))
        table.append(
            {
                "row": name,
                "pictures": cost["steps"] * one.training.batch_size,
                "pictures_per_second": one.training.batch_size / cost["seconds_per_step"],
                **{label: [record["value"], record["floor"]] for label, record in found.items()},
            }
        )
        print(json.dumps(table[-1]), flush=True)
    content = {"seconds": given.seconds, "seed": given.seed, "machine": machine(), "rows": table}
    write_atomically(given.folder / "small_data.json", (json.dumps(content, indent=1) + "\n").encode())
    folders = [folder_of(given.folder, name) for name in made]
    compare_runs(folders, given.folder)
    figure(list(made), folders).save(given.folder / "small_data.webp", lossless=True)


def folder_of(parent: Path, name: str) -> Path:
    """The run folder of a row."""
    return parent / name.replace(" ", "_").strip("+_")


def figure(names: list[str], folders: list[Path]) -> Image.Image:
    """A row of pictures per row of the table, of the same captions and noise."""
    captions = CAPTIONS[:: len(CAPTIONS) // NUM_CAPTIONS]
    side, margin, text = 64, 6, 190
    canvas = Image.new("RGB", (text + NUM_CAPTIONS * (side + margin), len(names) * (side + margin)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for row, (name, folder) in enumerate(zip(names, folders, strict=True)):
        top = row * (side + margin)
        pen.text((4, top + side // 2 - 8), name, fill="black", font=font)
        drawn = open_run(folder, images=False).sample(captions, num_images=1, seed=0).permute(0, 2, 3, 1).numpy()
        for column, pixels in enumerate(drawn):
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(picture, (text + column * (side + margin), top))
    return canvas


if __name__ == "__main__":
    main()
