"""The Inception-Score form: how confident and how varied a classifier finds the pictures.

Salimans et al. 2016, "Improved Techniques for Training GANs", section 4. It is the Inception Score only with the
literature's Inception network; it never looks at the captions nor at real pictures.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sclgan.metrics.estimate import Estimate


def inception_score(probabilities: Float[Tensor, "n c"], *, num_splits: int = 10, seed: int = 0) -> Estimate:
    """exp of the mean divergence between the prediction for one picture and the mean prediction, by splits.

        exp( mean_i sum_c p_ic (log p_ic - log q_c) ),   q = mean_i p_i            in [1, c]

    Rows are shuffled with `seed` first: rows sorted by class would make every split look uniform. The value is the
    mean over splits, the interval +- one standard deviation over splits (the population's, as in the paper's code).

    The order decides which pictures share a split. torch-fidelity shuffles with another generator: of 40 pictures its
    score differs by some 1e-4 for that reason alone, as ours does between seeds; in its order the values are equal.

    Raises:
        ValueError: fewer rows than splits; rows that are not probabilities.
    """
    if not 1 <= num_splits <= len(probabilities):
        raise ValueError(f"num_splits is {num_splits}; choose 1 to the number of samples, {len(probabilities)}")
    p = probabilities.detach().cpu().double()
    if not (p.isfinite().all() and (p >= 0).all() and ((p.sum(dim=1) - 1).abs() < 1e-3).all()):
        raise ValueError("rows must be non-negative and sum to 1: pass probabilities, not logits")
    p = p[torch.randperm(len(p), generator=torch.Generator().manual_seed(seed))]
    scores = torch.stack([_score(split) for split in p.tensor_split(num_splits)])
    mean, deviation = float(scores.mean()), float(scores.std(correction=0))
    kind = f"one standard deviation over {num_splits} splits" if num_splits > 1 else "none"
    return Estimate(mean, (mean - deviation, mean + deviation) if num_splits > 1 else None, kind)


def _score(p: Tensor) -> Tensor:
    q = p.mean(dim=0, keepdim=True)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=1).mean().exp()
