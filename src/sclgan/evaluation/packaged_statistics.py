"""Reference statistics that come with the package: `--reals emoji_64`, for Frechet distances on Lite0's features.

10,000 held-out drawings of the embedded emoji, composed at 64 pixels; `scripts/build_statistics.py` makes the file.
"""

import io
from functools import cache
from pathlib import Path

import numpy as np
import torch

from sclgan.metrics.gaussian import Gaussian

NAME = "emoji_64"
PATH = Path(__file__).with_name(f"{NAME}.npz")


def pack(known: Gaussian) -> bytes:
    """The content of the file: mean and lower triangle of the covariance in float32, a quarter of the full size."""
    rows, columns = np.tril_indices(len(known.mu))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        mu=known.mu.numpy().astype(np.float32),
        triangle=known.sigma.numpy()[rows, columns].astype(np.float32),
        num_samples=np.array(known.num_samples),
        extractor=np.array(known.extractor),
        weights_sha256=np.array(known.weights_sha256),
    )
    return buffer.getvalue()


@cache
def statistics() -> Gaussian:
    """The statistics, in float64."""
    with np.load(PATH, allow_pickle=False) as file:
        mu = file["mu"].astype(np.float64)
        rows, columns = np.tril_indices(len(mu))
        sigma = np.empty((len(mu), len(mu)))
        sigma[rows, columns] = sigma[columns, rows] = file["triangle"]
        return Gaussian(
            torch.from_numpy(mu),
            torch.from_numpy(sigma),
            int(file["num_samples"]),
            str(file["extractor"]),
            str(file["weights_sha256"]),
        )
