"""Precision and recall: the share of pictures among the neighbours of others, in the space of features.

Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", section 2. Theirs
are VGG-16's features; the choice of features moves the values, so the protocol names them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan.metrics.estimate import Estimate
from sclgan.metrics.proportion import proportion

BLOCK = 1024  # rows of the matrix of distances held at once


def share_within(points: Float[Tensor, "n d"], support: Float[Tensor, "m e"], *, num_neighbours: int = 3) -> Estimate:
    """The share of `points` that are as near to some row of `support` as its k-th nearest neighbour there.

        mean_i  any_j  |p_i - s_j| <= |s_j - NN_k(s_j)|

    Precision has generated pictures as points and real ones as support, recall the reverse. Both grow with k and
    with the size of the support: compare equal numbers only. All features are held, in float64 while it computes:
    10,000 + 10,000 rows of 2,048 take 330 MB, 30,000 + 30,000 take 1 GB, and 100 MB for the distances. The interval
    is over the points; the support is taken as given.

    Raises:
        ValueError: the sides have different widths; the support has no k-th neighbour; a feature is not finite.
    """
    if points.shape[1] != support.shape[1]:
        raise ValueError(
            f"{points.shape[1]} features against {support.shape[1]}: both sides must come from the same extractor"
        )
    if not 1 <= num_neighbours < len(support) or len(points) == 0:
        raise ValueError(
            f"{len(points)} points and a support of {len(support)}: the {num_neighbours}. neighbour of each row of the "
            f"support needs at least {num_neighbours + 1} rows, and there must be a point"
        )
    if not (points.isfinite().all() and support.isfinite().all()):
        raise ValueError("a feature is NaN or infinite: look at the generator's output before measuring it")
    centre = support.detach().cpu().double().mean(dim=0)  # distances of small numbers lose fewer digits
    points, support = (x.detach().cpu().double() - centre for x in (points, support))
    # The row itself is the nearest: its k-th neighbour comes k places later.
    radii = torch.cat(
        [
            _squared_distances(block, support).kthvalue(num_neighbours + 1, dim=1).values
            for block in torch.split(support, BLOCK)
        ]
    )
    num_within = sum(
        int((_squared_distances(block, support) <= radii).any(dim=1).sum()) for block in torch.split(points, BLOCK)
    )
    return proportion(num_within, len(points), "pictures, the others held fixed")


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return torch.addmm(squares, x, y.T, alpha=-2)
