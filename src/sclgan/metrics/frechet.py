"""The Frechet distance between two Gaussians, and its interval.

Dowson & Landau 1982; of features in Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", Eq. 6. It is
the FID only with the literature's network, resize and sample size.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from sclgan.metrics.estimate import Estimate, half_width
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import BlockStatistics

WELL_CONDITIONED = 1e-10
"""Smallest ratio of the squared diagonal of a Cholesky factor at which half the digits of small eigenvalues suffice."""
TRIANGLE_BLOCK = 256


def frechet_distance(
    mu1: Float[Tensor, " d"], sigma1: Float[Tensor, "d d"], mu2: Float[Tensor, " e"], sigma2: Float[Tensor, "e e"]
) -> float:
    """The squared 2-Wasserstein distance of N(mu1, sigma1) and N(mu2, sigma2).

        |mu1 - mu2|^2 + trace(sigma1) + trace(sigma2) - 2 |X^T Y|_*,   sigma1 = X X^T, sigma2 = Y Y^T

    |.|_* is the sum of singular values, which is the trace of the square root of sigma1 sigma2. Computed in float64:
    X and Y are Cholesky factors; where a covariance has not full rank, as of few samples, they are its eigenvectors
    without those whose eigenvalues are rounding. No imaginary part can appear. Biased by about the number of features
    / the number of samples: compare equal numbers of samples only.

    Raises:
        ValueError: the two have different numbers of features; a number is NaN or infinite.
    """
    (value,) = frechet_distances(Gaussian(mu1.double(), sigma1.double()), [Gaussian(mu2.double(), sigma2.double())])
    return value


def frechet_distances(reals: Gaussian, others: Iterable[Gaussian]) -> list[float]:
    """The distance of each of the others from the reals, whose covariance is factored once; see `frechet_distance`."""
    return _distances(reals, _factor(_checked(reals)), others)


def _distances(reals: Gaussian, factor: "_Factor", others: Iterable[Gaussian]) -> list[float]:
    distances = []
    for other in others:
        if other.mu.shape != reals.mu.shape:
            raise ValueError(
                f"{len(other.mu)} features against {len(reals.mu)}: both sides must come from the same extractor"
            )
        root = _nuclear_norm(factor, _factor(_checked(other)))
        difference = other.mu.cpu() - reals.mu.cpu()
        traces = other.sigma.trace() + reals.sigma.trace()
        distances.append(float(difference @ difference + traces.cpu()) - 2 * root)
    return distances


def frechet_estimate(reals: Gaussian, fakes: BlockStatistics) -> Estimate:
    """The distance of all fakes from the reals, with the interval due to the draw of the fakes.

        g_k = 2 (mu - mu_r).(m_k - mu) + trace((I - T) S_k),      T = Y (Y^T sigma Y)^(-1/2) Y^T,  sigma_r = Y Y^T
        interval = value +- t sqrt( var_k(g_k) / K )

    m_k is the mean of block k of K and S_k its second moment about mu, the mean of all fakes; g_k is the derivative
    of the distance with respect to the block's weight (the infinitesimal jackknife, Jaeckel 1972). The reals are held
    fixed, and the bias of few samples is not in it. It is too wide, by up to half, where the samples are fewer than a
    few times the features. There is no interval if a block has fewer than two samples.
    """
    whole, factor = fakes.whole().gaussian, _factor(_checked(reals))
    (value,) = _distances(reals, factor, [whole])
    blocks = [block for block in fakes.blocks if block.num_samples > 1]
    if len(blocks) < len(fakes.blocks):
        return Estimate(value)
    gradient = torch.eye(len(whole.mu), dtype=torch.float64) - _transport(whole.sigma, factor.x)
    slopes = torch.tensor([_slope(block.gaussian, whole, reals, gradient) for block in blocks], dtype=torch.float64)
    half = half_width(slopes.std().item() / len(blocks) ** 0.5, degrees_of_freedom=len(blocks) - 1)
    kind = f"95 %, jackknife over {len(blocks)} blocks of the generated pictures, the real ones held fixed"
    return Estimate(value, (value - half, value + half), kind)


def _slope(block: Gaussian, whole: Gaussian, reals: Gaussian, gradient: Tensor) -> float:
    assert block.num_samples is not None
    shift = block.mu - whole.mu
    spread = (gradient * block.sigma).sum() * (block.num_samples - 1) / block.num_samples + shift @ gradient @ shift
    return float(2 * (whole.mu - reals.mu) @ shift + spread)


@dataclass(frozen=True)
class _Factor:
    """X with sigma = X X^T, and whether it is a well-conditioned Cholesky factor."""

    x: Float64[Tensor, "d r"]
    well_conditioned: bool


def _checked(gaussian: Gaussian) -> Float64[Tensor, "d d"]:
    if not (gaussian.mu.isfinite().all() and gaussian.sigma.isfinite().all()):
        raise ValueError("a mean or covariance holds NaN or infinity: check the features they were computed from")
    return gaussian.sigma.detach().cpu()


def _factor(sigma: Float64[Tensor, "d d"]) -> _Factor:
    lower, info = torch.linalg.cholesky_ex(sigma)
    diagonal = lower.diagonal()
    if int(info) == 0 and float((diagonal.min() / diagonal.max()) ** 2) > WELL_CONDITIONED:
        return _Factor(lower, True)
    values, vectors = torch.linalg.eigh(sigma)
    kept = _above_rounding(values)
    return _Factor(vectors[:, kept] * values[kept].sqrt(), False)


def _nuclear_norm(one: _Factor, other: _Factor) -> float:
    """The sum of the singular values of X^T Y."""
    if one.well_conditioned and other.well_conditioned:
        # Twice as fast as singular values. NumPy computes one half of such a product and copies it.
        product = _product_of_triangles(one.x, other.x).numpy()
        return float(np.sqrt(np.clip(np.linalg.eigvalsh(product @ product.T), 0, None)).sum())
    return float(torch.linalg.svdvals(one.x.T @ other.x).sum())


def _product_of_triangles(x: Float64[Tensor, "d d"], y: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """x^T y of lower triangles, in blocks, without most of their zeros: at less than half of the cost."""
    starts = range(0, len(x), TRIANGLE_BLOCK)
    product = torch.empty_like(x)
    for i in starts:
        for j in starts:
            row, column = slice(i, i + TRIANGLE_BLOCK), slice(j, j + TRIANGLE_BLOCK)
            product[row, column] = x[max(i, j) :, row].T @ y[max(i, j) :, column]
    return product


def _transport(sigma: Float64[Tensor, "d d"], y: Float64[Tensor, "d r"]) -> Float64[Tensor, "d d"]:
    """The symmetric matrix T that carries N(0, sigma) to N(0, y y^T): T sigma T = y y^T, on the range of both."""
    values, vectors = torch.linalg.eigh(y.T @ sigma @ y)
    kept = _above_rounding(values)
    half = y @ vectors[:, kept] * values[kept].pow(-0.25)
    transport: Tensor = half @ half.T
    return transport


def _above_rounding(values: Float64[Tensor, " d"]) -> Bool[Tensor, " d"]:
    """True for the eigenvalues of a symmetric matrix that are above rounding."""
    kept: Tensor = values > values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return kept
