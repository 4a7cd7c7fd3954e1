"""Randomness without state: every draw is a function of named numbers, so resuming needs no generator to be saved.

Each purpose has a stream of its own: what a key draws for one never depends on, nor equals, what it draws for another.
"""

from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Stream(IntEnum):
    """The purpose of a draw, and the parts of its key after the seed. Numbers are never reused or renumbered."""

    ORDER = 1
    """Order of the anchors of an epoch: (epoch)."""
    PAIR = 2
    """Label, partner, captions and augmentation of an anchor: (epoch, row)."""
    SCENE = 3
    """Composition of a scene: (split, scene)."""
    SHARD_ORDER = 4
    """Order of the shards of a stream: (start, epoch)."""
    STREAM = 5
    """Order and pairs within a stream: (start, worker)."""
    NOISE = 6
    """Noise of a training step: (step, view)."""
    AUGMENTATION = 7
    """Augmentation of what D sees in a training step: (step, view)."""
    DROPOUT = 8
    """Dropout of a pre-training step: (step, rank)."""
    SAMPLE = 9
    """Noise of `sample`, and of sample grids: ()."""
    GRADED_NOISE = 10
    """Noise of a graded sample: (sample)."""
    GRADED_ROW = 11
    """Row that a graded sample is drawn from: (sample)."""
    GRADED_ORDER = 12
    """Order of the rows where each is graded once: ()."""
    GRADED_PICTURE = 13
    """Composition and caption of a held-out picture to grade or to compare with: (sample)."""
    FITTED_PICTURE = 14
    """Composition and augmentation of a training picture that a classifier is fitted to: (sample)."""
    CHOICE = 15
    """Choice of files of a folder, or of held-out rows: ()."""
    SCORED_PICTURE = 16
    """Composition and caption of a held-out picture in scores and grids: (row)."""
    SUBSET = 17
    """Subset of features on a curve: (number of samples)."""
    FIGURE = 18
    """Captions and pictures of a figure: (row, number)."""


def numpy_generator(stream: Stream, seed: int, *key: int) -> np.random.Generator:
    """A NumPy generator for a purpose, a seed and a key such as (epoch, index): the same on every worker and rank."""
    return np.random.Generator(np.random.PCG64(_sequence(stream, seed, *key)))


def integer_seed(stream: Stream, seed: int, *key: int) -> int:
    """A 63-bit seed for a purpose, a seed and a key of non-negative numbers."""
    return int(_sequence(stream, seed, *key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _sequence(stream: Stream, seed: int, *key: int) -> np.random.SeedSequence:
    """Mixes the purpose, the length of the key and the key into the seed, so that no two of them collide."""
    return np.random.SeedSequence(seed, spawn_key=(stream, len(key), *key))


def uniform(num_rows: int, num_columns: int, stream: Stream, seed: int, *key: int) -> Float[Tensor, "n d"]:
    """Numbers in [0, 1) for a purpose and a key, drawn on the CPU as in `normal`."""
    generator = torch.Generator().manual_seed(integer_seed(stream, seed, *key))
    return torch.rand(num_rows, num_columns, generator=generator)


def normal(num_rows: int, num_columns: int, stream: Stream, seed: int, *key: int) -> Float[Tensor, "n d"]:
    """Standard normal noise for a purpose and a key, drawn on the CPU so that it does not depend on the device."""
    generator = torch.Generator().manual_seed(integer_seed(stream, seed, *key))
    return torch.randn(num_rows, num_columns, generator=generator)
