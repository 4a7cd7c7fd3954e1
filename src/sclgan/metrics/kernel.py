"""The kernel distance: the squared maximum mean discrepancy of features under a cubic polynomial kernel.

Binkowski et al. 2018, "Demystifying MMD GANs", section 4 and appendix E (KID, with the Inception network). Unbiased
at any number of samples, so it suits small sets.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan.metrics.estimate import Estimate

BLOCK = 1024  # rows of the kernel matrix held at once


def kernel_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m e"]) -> Estimate:
    """The unbiased estimate from all pairs of the full sets.

        k(a, b) = (a.b / d + 1)^3
        sum_{i != j} k(x_i, x_j) / n(n-1)  +  sum_{i != j} k(y_i, y_j) / m(m-1)  -  2 sum_ij k(x_i, y_j) / nm

    It may be negative. The interval is value +- 1.96 standard errors of the U-statistic's first-order term; where
    the two distributions are equal that term vanishes and the interval is only a guide.

    Raises:
        ValueError: a side has fewer than two rows; different numbers of columns; a feature is not finite.
    """
    _check(x, y)
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    n, m = len(x), len(y)
    xx = (_sums(x, x)[0] - _kernel_diagonal(x)) / (n - 1)
    yy = (_sums(y, y)[0] - _kernel_diagonal(y)) / (m - 1)
    rows, columns = _sums(x, y)
    xy, yx = rows / m, columns / n
    value = float(xx.mean() + yy.mean() - 2 * xy.mean())
    error = 2 * float((xx - xy).var() / n + (yy - yx).var() / m) ** 0.5
    return Estimate(value, (value - 1.96 * error, value + 1.96 * error), "95 %, standard error of the U-statistic")


def kernel_distance_of_subsets(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m e"], *, num_subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Estimate:
    """The literature's form: the mean over `num_subsets` seeded random subsets; the interval is +- one deviation.

    The spread is that of one estimate from `subset_size` rows, not of the mean.

    Raises:
        ValueError: as `kernel_distance`; a subset is larger than a side.
    """
    _check(x, y)
    if not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(f"subset_size is {subset_size}, the sets have {len(x)} and {len(y)} rows; choose 2 to fewest")
    generator = torch.Generator().manual_seed(seed)
    values = torch.empty(num_subsets, dtype=torch.float64)
    for i in range(num_subsets):
        rows_x, rows_y = (torch.randperm(len(z), generator=generator)[:subset_size] for z in (x, y))
        values[i] = kernel_distance(x[rows_x], y[rows_y]).value
    mean, deviation = float(values.mean()), float(values.std(correction=0))
    kind = f"one standard deviation over {num_subsets} subsets of {subset_size}"
    return Estimate(mean, (mean - deviation, mean + deviation), kind)


def _check(x: Tensor, y: Tensor) -> None:
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{x.shape[1]} features against {y.shape[1]}: both sides must come from the same extractor")
    if min(len(x), len(y)) < 2:
        raise ValueError(f"the unbiased estimate needs at least 2 rows per side, got {len(x)} and {len(y)}")
    if not (x.isfinite().all() and y.isfinite().all()):
        raise ValueError("a feature is NaN or infinite: look at the generator's output before measuring it")


def _kernel_diagonal(x: Tensor) -> Tensor:
    return (x.square().mean(dim=1) + 1) ** 3


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j k(x_i, y_j) for each i, and sum_i k(x_i, y_j) for each j."""
    rows, columns = [], torch.zeros(len(y), dtype=x.dtype)
    for block in torch.split(x, BLOCK):
        kernel = (block @ y.T / x.shape[1] + 1) ** 3
        rows.append(kernel.sum(dim=1))
        columns += kernel.sum(dim=0)
    return torch.cat(rows), columns
