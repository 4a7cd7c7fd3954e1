"""The objective as a table: named terms, weighted by the recipe."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Terms = dict[str, Float[Tensor, ""]]


def total(terms: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """The objective: the sum of weight x term, over exactly the terms that the recipe names.

    Raises:
        ValueError: a term has no weight or a weight has no term, so that a mistyped name is never a silent zero.
    """
    if terms.keys() != weights.keys():
        raise ValueError(
            f"the model computes the terms {sorted(terms)}, the recipe weighs {sorted(weights)}; "
            f"without a weight: {sorted(terms.keys() - weights.keys())}, "
            f"without a term: {sorted(weights.keys() - terms.keys())}"
        )
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def sum_over_views(views: Sequence[Mapping[str, Float[Tensor, ""]]]) -> Terms:
    """The terms of every view added by name: the branches' losses are summed, not averaged (`docs/design.md`)."""
    return {name: torch.stack([terms[name] for terms in views]).sum() for name in views[0]}
