"""Seconds and memory of one training step at the published sizes, batch 4, random pictures and weights.

    python benchmarks/published_sizes.py [RECIPE ...]        such as attngan_cub

Each recipe runs in both precisions, each in a process of its own, which has its own peak of memory; printed is the
median of three steps after a first one.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch

from sclgan import distributed
from sclgan.data.types import Batch, Captions, View
from sclgan.encoders import clip_tokens
from sclgan.encoders.clip import CLIP
from sclgan.recipe import class_of
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train.gan_phase import GANPhase

BATCH, NUM_STEPS = 4, 3
NUM_TOKENS = 5450  # as the published encoders of CUB have
DEFAULT = ("attngan_cub", "dmgan_cub", "ssagan_cub", "galip_cub")


def measure(name: str, precision: str) -> None:
    """Prints the line of one recipe."""
    made = recipe(name)
    reads_clip = class_of(made.encoders) is CLIP
    num_tokens = clip_tokens.NUM_TOKENS if reads_clip else NUM_TOKENS
    weights = "encoders.weights" if reads_clip else "encoders.backbone.weights"
    made = override(made, [f"{weights}=none", f"training.batch_size={BATCH}", f"training.precision={precision}"])
    torch.manual_seed(0)
    device = distributed.device()
    encoders = made.encoders(num_tokens).to(device).requires_grad_(False).eval()
    gan = made.gan(encoders, image_size=made.image_size)
    gan.generator.to(device)
    gan.discriminator.to(device)
    phase = GANPhase(gan, encoders, made.training, seed=0)
    lengths = torch.tensor([16, 12, 9, 6])
    tokens = torch.randint(1, num_tokens, (BATCH, made.max_words)).masked_fill(
        torch.arange(made.max_words) >= lengths[:, None], 0
    )
    image = torch.rand(BATCH, 3, made.image_size, made.image_size) * 2 - 1
    labels, has_partner = torch.arange(BATCH), torch.ones(BATCH, dtype=torch.bool)
    batch = Batch((View(image, Captions(tokens, lengths)),), labels, has_partner).to(device)
    seconds, of_cpu = [], []
    for step in range(1, NUM_STEPS + 2):
        began, began_of_cpu = time.perf_counter(), time.process_time()
        phase.step(batch, step)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        of_cpu.append(time.process_time() - began_of_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    median, median_of_cpu = statistics.median(seconds[1:]), statistics.median(of_cpu[1:])
    print(
        f"{name:<16}{precision:<10}{median:8.2f} s per step ({median_of_cpu:.2f} of CPU)   peak {peak:.1f} GB   "
        f"threads {torch.get_num_threads()}",
        flush=True,
    )


def main() -> None:
    """Measures the recipes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=DEFAULT)
    parser.add_argument("--here", metavar="PRECISION", help="in this process")
    given = parser.parse_args()
    for name in given.recipes:
        if given.here:
            measure(name, given.here)
        else:
            for precision in ("float32", "bfloat16"):
                subprocess.run([sys.executable, __file__, "--here", precision, name], check=True)


if __name__ == "__main__":
    main()
