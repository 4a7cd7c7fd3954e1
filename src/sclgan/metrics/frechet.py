"""The Frechet distance between two Gaussians, and what its samples leave open.

Dowson & Landau 1982; of features in Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", Eq. 6. It is
the FID only with the literature's network, resize and sample size.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from sclgan.metrics.statistics import BlockStatistics, Estimate, Gaussian

WELL_CONDITIONED = 1e-10
"""Smallest ratio of the squared diagonal of a Cholesky factor at which half the digits of small eigenvalues suffice."""
STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}
"""97.5 % quantile of Student's t by number of blocks, which have one degree of freedom fewer."""


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
    if mu1.shape != mu2.shape:
        raise ValueError(f"{len(mu1)} features against {len(mu2)}: both sides must come from the same extractor")
    mu1, sigma1, mu2, sigma2 = (x.detach().cpu().double() for x in (mu1, sigma1, mu2, sigma2))
    if not all(x.isfinite().all() for x in (mu1, sigma1, mu2, sigma2)):
        raise ValueError("a mean or covariance holds NaN or infinity: check the features they were computed from")
    difference = mu1 - mu2
    traces = sigma1.trace() + sigma2.trace()
    return float(difference @ difference + traces) - 2 * _trace_of_root(sigma1, sigma2)


def frechet_estimate(reals: Gaussian, fakes: BlockStatistics) -> Estimate:
    """The distance of all fakes from the reals, with the interval that the draw of the fakes leaves open.

        g_k = 2 (mu - mu_r).(m_k - mu) + trace((I - T) S_k),      T = Y (Y^T sigma Y)^(-1/2) Y^T,  sigma_r = Y Y^T
        interval = value +- t sqrt( var_k(g_k) / K )

    m_k is the mean of block k of K and S_k its second moment about mu, the mean of all fakes; g_k is the derivative
    of the distance with respect to the block's weight (the infinitesimal jackknife, Jaeckel 1972). The reals are held
    fixed, and the bias of few samples is not in it. It is too wide, by up to half, where the samples are fewer than a
    few times the features. There is none where a block has fewer than two samples.
    """
    whole = fakes.whole().gaussian
    value = frechet_distance(reals.mu, reals.sigma, whole.mu, whole.sigma)
    blocks = [block for block in fakes.blocks if block.num_samples > 1]
    if len(blocks) < len(fakes.blocks):
        return Estimate(value)
    gradient = torch.eye(len(whole.mu), dtype=torch.float64) - _transport(whole.sigma, reals.sigma)
    slopes = torch.tensor([_slope(block.gaussian, whole, reals, gradient) for block in blocks], dtype=torch.float64)
    half = STUDENT_T[len(blocks)] * float(slopes.std()) / len(blocks) ** 0.5
    kind = f"95 %, jackknife over {len(blocks)} blocks of the generated pictures, the real ones held fixed"
    return Estimate(value, (value - half, value + half), kind)


def _slope(block: Gaussian, whole: Gaussian, reals: Gaussian, gradient: Tensor) -> float:
    assert block.num_samples is not None
    shift = block.mu - whole.mu
    spread = (gradient * block.sigma).sum() * (block.num_samples - 1) / block.num_samples + shift @ gradient @ shift
    return float(2 * (whole.mu - reals.mu) @ shift + spread)


def _trace_of_root(sigma1: Float64[Tensor, "d d"], sigma2: Float64[Tensor, "d d"]) -> float:
    """trace( sqrt(sigma1 sigma2) )."""
    (x, exact_x), (y, exact_y) = _factor(sigma1), _factor(sigma2)
    product = x.T @ y
    if exact_x and exact_y:
        # Twice as fast as singular values. NumPy computes one half of such a product and copies it.
        gram = product.numpy() @ product.numpy().T
        return float(np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None)).sum())
    return float(torch.linalg.svdvals(product).sum())


def _factor(sigma: Float64[Tensor, "d d"]) -> tuple[Float64[Tensor, "d r"], bool]:
    """X with sigma = X X^T, and whether it is a well-conditioned Cholesky factor."""
    lower, info = torch.linalg.cholesky_ex(sigma)
    diagonal = lower.diagonal()
    if int(info) == 0 and len(diagonal) and float((diagonal.min() / diagonal.max()) ** 2) > WELL_CONDITIONED:
        return lower, True
    values, vectors = torch.linalg.eigh(sigma)
    kept = _above_rounding(values)
    return vectors[:, kept] * values[kept].sqrt(), False


def _transport(sigma: Float64[Tensor, "d d"], target: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The symmetric matrix T that carries N(0, sigma) to N(0, target): T sigma T = target, on the range of both."""
    y, _ = _factor(target)
    values, vectors = torch.linalg.eigh(y.T @ sigma @ y)
    kept = _above_rounding(values)
    half = y @ vectors[:, kept] * values[kept].pow(-0.25)
    transport: Tensor = half @ half.T
    return transport


def _above_rounding(values: Float64[Tensor, " d"]) -> Bool[Tensor, " d"]:
    """Which eigenvalues of a symmetric matrix are not rounding."""
    kept: Tensor = values > values.abs().max() * len(values) * torch.finfo(values.dtype).eps
    return kept
