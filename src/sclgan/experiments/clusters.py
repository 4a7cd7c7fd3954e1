"""Embeddings of labels: their projection to the plane, and a score of how well labels are separated."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def principal_components(rows: Float[Tensor, "n d"], num: int = 2) -> tuple[Float[Tensor, "n k"], float]:
    """Coordinates along the directions of largest variance, and the share of the variance that they hold.

    Signs are fixed: the coordinate that is farthest from 0 is positive. Pearson 1901.
    """
    centred = rows.double() - rows.double().mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    places = left[:, :num] * sizes[:num]
    farthest = places.gather(0, places.abs().argmax(dim=0, keepdim=True))
    share = float((sizes[:num] ** 2).sum() / (sizes**2).sum().clamp(min=1e-30))
    return places * farthest.sign(), share


def silhouette(rows: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> float:
    """The mean silhouette by cosine distance (Rousseeuw 1987): 1 for tight labels far apart, below 0 for mixed ones.

        s_i = (b_i - a_i) / max(a_i, b_i)

    a_i is the mean distance to the other rows of i's label, b_i to the rows of the nearest other label; a row alone
    with its label has s_i = 0.

    Raises:
        ValueError: fewer than two labels.
    """
    different, own = torch.unique(labels, return_inverse=True)
    if len(different) < 2:
        raise ValueError("a silhouette compares labels: give rows of at least two")
    normal = F.normalize(rows.double(), dim=1)
    distance = (1 - normal @ normal.T).clamp(min=0).fill_diagonal_(0)
    member = F.one_hot(own).double()  # [n k]
    sums, sizes = distance @ member, member.sum(dim=0)
    mine = member.bool()
    inside = sums[mine] / (sizes[own] - 1).clamp(min=1)
    outside = (sums / sizes).masked_fill(mine, torch.inf).amin(dim=1)
    score = (outside - inside) / torch.maximum(inside, outside).clamp(min=1e-30)
    return float(score.masked_fill(sizes[own] == 1, 0.0).mean())
