"""Images per second of one GAN training step, with and without the method, at the same number of images per step.

    python benchmarks/step.py [FIELD=VALUE ...]        fields of the recipes, such as gan.nf=16

The rows take turns step by step, so that a machine whose speed drifts slows both alike; printed are medians, and the
median of the ratios within a turn.
"""

import statistics
import sys
import time

import torch

from sclgan import distributed
from sclgan.data.captions import Vocabulary
from sclgan.data.pairs import PairedBatches
from sclgan.experiments.demo import SMALL
from sclgan.recipe import Recipe
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train.gan_phase import GANPhase
from sclgan.train.training import with_feature_discriminator

NUM_TURNS = 20
BATCH = 32  # images per step: 32 anchors with one view, 16 with two


def stepper(made: Recipe) -> tuple[GANPhase, PairedBatches]:
    """The GAN phase of a recipe with encoders that were not pre-trained: the same work."""
    source = made.source("train")
    vocabulary = Vocabulary.of(source.captions(), max_words=made.max_words)
    device = distributed.device()
    encoders = made.encoders(vocabulary.num_tokens).to(device).requires_grad_(False).eval()
    gan = made.gan(encoders, image_size=made.image_size)
    gan = with_feature_discriminator(gan, made, encoders)
    gan.generator.to(device)
    gan.discriminator.to(device)
    settings = made.training
    batches = PairedBatches(
        source,
        vocabulary,
        num_views=settings.num_views,
        batch_size=settings.batch_size,
        image_size=made.image_size,
        seed=0,
    )
    return GANPhase(gan, encoders, settings, seed=0), batches


def main() -> None:
    """Prints the table."""
    sizes = {"ssagan_emoji": BATCH, "ssagan_emoji_scl": BATCH // 2}
    rows = {
        name: stepper(override(recipe(name), [*SMALL, f"training.batch_size={size}", *sys.argv[1:]]))
        for name, size in sizes.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(NUM_TURNS + 2):  # the first two warm up
        for name, (phase, batches) in rows.items():
            batch = batches[turn].to(distributed.device())
            began = time.perf_counter()
            phase.step(batch, turn + 1)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    plain, method = (values[2:] for values in seconds.values())
    for name, values in zip(rows, (plain, method), strict=True):
        print(f"{name:<20}{BATCH / statistics.median(values):8.1f} images/s")
    ratio = statistics.median(b / a for a, b in zip(plain, method, strict=True))
    print(f"the method costs {ratio - 1:+.1%} per step of {BATCH} images")


if __name__ == "__main__":
    main()
