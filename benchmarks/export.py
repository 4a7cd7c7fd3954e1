"""Sizes of exported files, and seconds per picture in onnxruntime against torch, each on one thread.

    python benchmarks/export.py [RUN or RECIPE ...]        such as emoji attngan_cub

A recipe has random weights and a vocabulary of the size of CUB's. Rounds of torch and onnxruntime alternate; printed is
the least processor time of a round, which other programs on the machine disturb little.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from sclgan import models
from sclgan.data.captions import Vocabulary
from sclgan.encoders.base import Tokenizer
from sclgan.encoders.clip import CLIP
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.publishing.onnx_export import CODES, export_onnx
from sclgan.random import Stream, normal
from sclgan.recipe import class_of
from sclgan.recipe_fields import override
from sclgan.recipes import RECIPES, recipe
from sclgan.runs.encoders import built
from sclgan.runs.opened import Run, open_run

DEFAULT = ("emoji", "ssagan_cub", "attngan_cub", "dmgan_cub", "galip_cub")
NUM_WORDS, NUM_ROUNDS, ROWS = 5449, 7, (1, 16)


def opened(name: str) -> Run:
    """A run, or a recipe with random weights."""
    if name not in RECIPES:
        return open_run(models.find_run(name), images=False)
    made = recipe(name)
    reads_clip = class_of(made.encoders) is CLIP
    made = override(made, ["encoders.weights=none"]) if reads_clip else made
    words = [f"w{number}" for number in range(NUM_WORDS)]
    tokenizer: Tokenizer = (
        CLIPTokenizer(context_length=made.max_words) if reads_clip else Vocabulary(words, max_words=made.max_words)
    )
    torch.manual_seed(0)
    encoders = built(made, tokenizer, images=False).requires_grad_(False).eval()
    gan = made.gan(encoders, image_size=made.image_size)
    gan.generator.requires_grad_(False).eval()
    return Run(Path(name), made, 0, encoders, tokenizer, gan)


def least(work: Callable[[], object]) -> float:
    """Seconds of the processor."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(name: str) -> None:
    """Prints the lines of one run."""
    run = opened(name)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        exported = export_onnx(run, Path(folder) / "a.onnx")
        sizes = " + ".join(f"{file.stat().st_size / 1e6:.1f}" for file in exported.files)
        seconds = time.process_time() - began
        print(f"{name}: {sizes} MB, difference {exported.difference:.1e}, exported in {seconds:.0f} s")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        generator, text = (onnxruntime.InferenceSession(str(file), options) for file in exported.files[:2])
    for rows in ROWS:
        words = getattr(run.tokenizer, "words", ["red", "apple"])[:8]
        tokens, z = run.tokenizer([" ".join(words)] * rows), normal(rows, run.gan.z_dim, Stream.SAMPLE, 0)
        asked = {"tokens": tokens.tokens.numpy(), "lengths": tokens.lengths.numpy()}

        def by_torch(tokens=tokens, z=z) -> object:
            with torch.inference_mode():
                return run.gan.generate(z, run.encoders.encode_text(tokens)).image

        def by_onnxruntime(asked=asked, z=z) -> object:
            codes: dict[str, np.ndarray] = dict(zip(CODES, text.run(None, asked), strict=True))
            codes["z"] = z.numpy()
            return generator.run(None, {one.name: codes[one.name] for one in generator.get_inputs()})

        found = [[least(by_torch), least(by_onnxruntime)] for _ in range(NUM_ROUNDS + 1)][1:]
        ours, theirs = (min(column) / rows * 1000 for column in zip(*found, strict=True))
        print(f"  {rows:>2} rows: torch {ours:.1f} ms a picture, onnxruntime {theirs:.1f} ms")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=DEFAULT)
    torch.set_num_threads(1)
    for name in parser.parse_args().names:
        measure(name)


if __name__ == "__main__":
    main()
