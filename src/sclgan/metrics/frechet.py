"""The Frechet distance between two Gaussians.

Dowson & Landau 1982; of features in Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", Eq. 6. It is
the FID only with the literature's network, resize and sample size.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(
    mu1: Float[Tensor, " d"], sigma1: Float[Tensor, "d d"], mu2: Float[Tensor, " e"], sigma2: Float[Tensor, "e e"]
) -> float:
    """The squared 2-Wasserstein distance of N(mu1, sigma1) and N(mu2, sigma2).

        |mu1 - mu2|^2 + trace(sigma1) + trace(sigma2) - 2 trace( sqrt( sqrt(sigma1) sigma2 sqrt(sigma1) ) )

    Computed in float64 from eigenvalues of symmetric matrices, so that no imaginary part can appear; eigenvalues
    that rounding made negative count as 0, which makes covariances of few samples (rank-deficient) exact as well.
    Biased by about the number of features / the number of samples: compare equal numbers of samples only.

    Raises:
        ValueError: the two have different numbers of features; a number is NaN or infinite.
    """
    if mu1.shape != mu2.shape:
        raise ValueError(f"{len(mu1)} features against {len(mu2)}: both sides must come from the same extractor")
    mu1, sigma1, mu2, sigma2 = (x.detach().cpu().double() for x in (mu1, sigma1, mu2, sigma2))
    if not all(x.isfinite().all() for x in (mu1, sigma1, mu2, sigma2)):
        raise ValueError("a mean or covariance holds NaN or infinity: check the features they were computed from")
    values, vectors = torch.linalg.eigh(sigma1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    inner = root @ sigma2 @ root
    trace_of_root = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    difference = mu1 - mu2
    return float(difference @ difference + sigma1.trace() + sigma2.trace() - 2 * trace_of_root)
