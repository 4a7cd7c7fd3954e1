"""Mean and covariance of feature vectors in one pass, merged over batches, workers and ranks; and estimates.

Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance": the pairwise update, in float64.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sclgan import distributed


@dataclass(frozen=True)
class Estimate:
    """A value, and the interval that its samples leave open, where that is cheap to know; `kind` says which one."""

    value: float
    interval: tuple[float, float] | None = None
    kind: str = "none"


class FeatureStatistics:
    """Running mean and covariance of rows.

    n = n_a + n_b,   delta = mean_b - mean_a
    mean    = mean_a + delta n_b / n
    scatter = scatter_a + scatter_b + delta delta^T n_a n_b / n,     sigma = scatter / (n - 1)
    """

    def __init__(self, num_features: int) -> None:
        self.num_samples = 0
        self._mean = torch.zeros(num_features, dtype=torch.float64)
        self._scatter = torch.zeros(num_features, num_features, dtype=torch.float64)

    @property
    def mu(self) -> Float64[Tensor, " d"]:
        return self._mean

    @property
    def sigma(self) -> Float64[Tensor, "d d"]:
        """The unbiased covariance.

        Raises:
            ValueError: fewer than two samples.
        """
        if self.num_samples < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got {self.num_samples}")
        return self._scatter / (self.num_samples - 1)

    def update(self, features: Float[Tensor, "b d"]) -> None:
        """Adds rows.

        Raises:
            ValueError: the rows have another width; a feature is not finite.
        """
        if features.shape[1] != len(self._mean):
            raise ValueError(f"features have {features.shape[1]} columns, these statistics {len(self._mean)}")
        if not features.isfinite().all():
            raise ValueError("a feature is NaN or infinite: look at the generator's output before measuring it")
        if len(features) == 0:
            return
        rows = features.detach().cpu().double()
        mean = rows.mean(0)
        rows = rows - mean
        self._add(len(rows), mean, rows.T @ rows)

    def merge(self, other: "FeatureStatistics") -> None:
        """Adds the rows that `other` has seen."""
        if len(other.mu) != len(self.mu):
            raise ValueError(f"cannot merge statistics of {len(other.mu)} features into {len(self.mu)}")
        if other.num_samples:
            self._add(other.num_samples, other._mean, other._scatter)

    def over_ranks(self) -> "FeatureStatistics":
        """The statistics of every rank's rows, the same on every rank; these stay as they are."""
        device = distributed.device() if distributed.world_size() > 1 else torch.device("cpu")
        mean, scatter = self._mean.to(device), self._scatter.to(device)
        num_samples = distributed.sum_over_ranks(torch.tensor(float(self.num_samples), dtype=torch.float64).to(device))
        total_mean = distributed.sum_over_ranks(mean * self.num_samples) / num_samples.clamp(min=1)
        delta = mean - total_mean
        total_scatter = distributed.sum_over_ranks(scatter + self.num_samples * delta[:, None] * delta[None, :])
        whole = FeatureStatistics(len(mean))
        whole.num_samples = int(num_samples.item())
        whole._mean, whole._scatter = total_mean.cpu(), total_scatter.cpu()
        return whole

    def save(self, path: Path) -> None:
        """Writes `mu`, `sigma` and `num_samples` as npz; the literature's readers know the first two names."""
        np.savez(path, mu=self.mu.numpy(), sigma=self.sigma.numpy(), num_samples=np.int64(self.num_samples))

    @staticmethod
    def load(path: Path) -> "FeatureStatistics":
        """Reads what `save` wrote.

        Raises:
            ValueError: the file has no `num_samples`, so that its covariance cannot be merged.
        """
        with np.load(path, allow_pickle=False) as file:
            missing = {"mu", "sigma", "num_samples"} - set(file.files)
            if missing:
                raise ValueError(f"{path} lacks {sorted(missing)}; expected a file written by FeatureStatistics.save")
            statistics = FeatureStatistics(len(file["mu"]))
            statistics.num_samples = int(file["num_samples"])
            statistics._mean = torch.from_numpy(file["mu"].astype(np.float64))
            statistics._scatter = torch.from_numpy(file["sigma"].astype(np.float64)) * (statistics.num_samples - 1)
            return statistics

    def _add(self, num_samples: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.num_samples + num_samples
        delta = mean - self._mean
        self._mean = self._mean + delta * (num_samples / total)
        self._scatter += scatter
        self._scatter.addr_(delta, delta, alpha=self.num_samples * num_samples / total)
        self.num_samples = total
