"""Randomness without state: every draw is a function of named numbers, so resuming needs no generator to be saved.

A leaf: it imports nothing of the package.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def numpy_generator(*key: int) -> np.random.Generator:
    """A NumPy generator for a key such as (seed, epoch, index): the same on every worker and rank."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def integer_seed(*key: int) -> int:
    """A 63-bit seed for a key of non-negative numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def uniform(num_rows: int, num_columns: int, *key: int) -> Float[Tensor, "n d"]:
    """Numbers in [0, 1) for a key, drawn on the CPU as in `normal`."""
    generator = torch.Generator().manual_seed(integer_seed(*key))
    return torch.rand(num_rows, num_columns, generator=generator)


def normal(num_rows: int, num_columns: int, *key: int) -> Float[Tensor, "n d"]:
    """Standard normal noise for a key, drawn on the CPU so that it does not depend on the device."""
    generator = torch.Generator().manual_seed(integer_seed(*key))
    return torch.randn(num_rows, num_columns, generator=generator)
