"""The Frechet distance as a function of the number of samples, and its limit at infinitely many.

Chong & Forsyth 2020, "Effectively Unbiased FID and Inception Score and where to find them" (arXiv 1911.07023),
section 3: the bias is nearly linear in 1 / number of samples, so a line through values at several numbers ends, at 0,
in the value without bias.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan.metrics.estimate import Estimate
from sclgan.metrics.frechet import frechet_distances
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import FeatureStatistics
from sclgan.random import Stream, integer_seed

NUM_POINTS = 8
SMALLEST_SHARE = 0.2  # of the samples: below, the bias is not linear any more


@dataclass(frozen=True)
class BiasCurve:
    """Values at several numbers of samples, and the line through them in 1 / number.

    value(n) = limit + slope / n

    `limit` holds the value at infinitely many samples. Its interval is that of the line's intercept; the subsets
    share samples, so it is a guide only.
    """

    num_samples: tuple[int, ...]
    values: tuple[float, ...]
    limit: Estimate
    slope: float


def bias_curve(features: Float[Tensor, "n d"], reals: Gaussian, *, seed: int = 0) -> BiasCurve:
    """The distance of random subsets from the reals, of a fifth to all of the samples, evenly spaced in 1 / number.

    Subsets are drawn anew for each number, without replacement. The real pictures stay the same, and with them the
    bias of their number.

    Raises:
        ValueError: too few samples for a curve.
    """
    n = len(features)
    smallest = round(SMALLEST_SHARE * n)
    if smallest < 2:
        raise ValueError(f"a curve needs at least {round(2 / SMALLEST_SHARE)} samples, there are {n}")
    inverse = torch.linspace(1 / smallest, 1 / n, NUM_POINTS, dtype=torch.float64)
    numbers = sorted({round(1 / x) for x in inverse.tolist()})

    def subset(number: int) -> Gaussian:
        generator = torch.Generator().manual_seed(integer_seed(Stream.SUBSET, seed, number))
        statistics = FeatureStatistics(features.shape[1])
        statistics.update(features[torch.randperm(n, generator=generator)[:number]])
        return statistics.gaussian

    values = frechet_distances(reals, map(subset, numbers))
    from scipy.stats import linregress  # half a second that no other command should pay

    line = linregress([1 / number for number in numbers], values)
    kind = "95 %, standard error of the line's intercept; the subsets share samples"
    limit, half = float(line.intercept), 1.96 * float(line.intercept_stderr)
    return BiasCurve(
        tuple(numbers), tuple(values), Estimate(limit, (limit - half, limit + half), kind), float(line.slope)
    )
