"""Mean and covariance of feature vectors in one pass, merged over batches, workers and ranks.

Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance": the pairwise update, in float64.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from sclgan import distributed
from sclgan.metrics.gaussian import Gaussian

NUM_BLOCKS = 8
PENDING = 512  # rows added at once: the product of few rows spends its time on reading the covariance


class FeatureStatistics:
    """Running mean and covariance of rows.

    n = n_a + n_b,   delta = mean_b - mean_a
    mean    = mean_a + delta n_b / n
    scatter = scatter_a + scatter_b + delta delta^T n_a n_b / n,     sigma = scatter / (n - 1)

    Holds the covariance and at most `PENDING` rows more, whatever the number of samples.
    """

    def __init__(self, num_features: int) -> None:
        self.num_samples = 0
        self._num_features = num_features
        self._mean = torch.zeros(num_features, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)  # made with the first rows
        self._pending: list[Tensor] = []

    @property
    def mu(self) -> Float64[Tensor, " d"]:
        self._flush()
        return self._mean

    @property
    def sigma(self) -> Float64[Tensor, "d d"]:
        """The unbiased covariance.

        Raises:
            ValueError: fewer than two samples.
        """
        if self.num_samples < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got {self.num_samples}")
        self._flush()
        return self._scatter / (self.num_samples - 1)

    @property
    def gaussian(self) -> Gaussian:
        """Mean, covariance and number of samples."""
        return Gaussian(self.mu, self.sigma, self.num_samples)

    def update(self, features: Float[Tensor, "b d"]) -> None:
        """Adds rows.

        Raises:
            ValueError: the rows have another width; a feature is not finite.
        """
        if features.shape[1] != self._num_features:
            raise ValueError(f"features have {features.shape[1]} columns, these statistics {self._num_features}")
        if not features.isfinite().all():
            raise ValueError("a feature is NaN or infinite: look at the generator's output before measuring it")
        self._pending.append(features.detach().cpu())
        self.num_samples += len(features)
        if sum(map(len, self._pending)) >= PENDING:
            self._flush()

    def merge(self, other: "FeatureStatistics") -> None:
        """Adds the rows that `other` has seen."""
        if other._num_features != self._num_features:
            raise ValueError(f"cannot merge statistics of {other._num_features} features into {self._num_features}")
        self._flush()
        other._flush()
        self._add(other.num_samples, other._mean, other._scatter, before=self.num_samples)
        self.num_samples += other.num_samples

    def over_ranks(self) -> "FeatureStatistics":
        """The statistics of every rank's rows, the same on every rank; this object is unchanged."""
        self._flush()
        d = self._num_features
        device = distributed.device() if distributed.world_size() > 1 else torch.device("cpu")
        scatter = self._scatter if self.num_samples else torch.zeros(d, d, dtype=torch.float64)
        mean, scatter = self._mean.to(device), scatter.to(device)
        num_samples = distributed.sum_over_ranks(torch.tensor(float(self.num_samples), dtype=torch.float64).to(device))
        total_mean = distributed.sum_over_ranks(mean * self.num_samples) / num_samples.clamp(min=1)
        delta = mean - total_mean
        total_scatter = distributed.sum_over_ranks(scatter + self.num_samples * delta[:, None] * delta[None, :])
        whole = FeatureStatistics(d)
        whole.num_samples = int(num_samples.item())
        whole._mean, whole._scatter = total_mean.cpu(), total_scatter.cpu()
        return whole

    def _flush(self) -> None:
        """Adds the pending rows."""
        if not self._pending:
            return
        rows = torch.cat(self._pending).double().numpy()
        self._pending = []
        if len(rows) == 0:
            return
        mean = rows.mean(axis=0)
        rows -= mean
        scatter = torch.from_numpy(rows.T @ rows)  # NumPy computes one half of such a product and copies it
        self._add(len(rows), torch.from_numpy(mean), scatter, before=self.num_samples - len(rows))

    def _add(self, num_samples: int, mean: Tensor, scatter: Tensor, *, before: int) -> None:
        if num_samples == 0:
            return
        if before == 0:
            self._mean, self._scatter = mean.clone(), scatter.clone()
            return
        total = before + num_samples
        delta = mean - self._mean
        self._mean = self._mean + delta * (num_samples / total)
        self._scatter += scatter
        self._scatter.addr_(delta, delta, alpha=before * num_samples / total)


class BlockStatistics:
    """Statistics of `NUM_BLOCKS` parts of the samples apart, from which intervals are computed.

    Sample i belongs to part i modulo `NUM_BLOCKS`, on any number of ranks. Holds a covariance for each part: 268 MB
    for 2,048 features.
    """

    def __init__(self, num_features: int) -> None:
        self.blocks = [FeatureStatistics(num_features) for _ in range(NUM_BLOCKS)]

    def update(self, features: Float[Tensor, "b d"], indices: Int[Tensor, " b"]) -> None:
        """Adds rows, the samples numbered `indices`."""
        for number, block in enumerate(self.blocks):
            block.update(features[(indices % NUM_BLOCKS == number).to(features.device)])

    def over_ranks(self) -> "BlockStatistics":
        """Those of every rank's rows, the same on every rank; this object is unchanged."""
        whole = BlockStatistics(0)
        whole.blocks = [block.over_ranks() for block in self.blocks]
        return whole

    def whole(self) -> FeatureStatistics:
        """The statistics of all samples."""
        return merged(self.blocks)


def merged(parts: Sequence[FeatureStatistics]) -> FeatureStatistics:
    """The statistics of all parts together; the parts are unchanged."""
    whole = FeatureStatistics(parts[0]._num_features)
    for part in parts:
        whole.merge(part)
    return whole
