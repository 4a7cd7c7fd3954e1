"""Cross entropy of labels, which Liu et al. 2024 (arXiv 2412.03957) compare their contrast with."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def label_cross_entropy(
    logits: Float[Tensor, "b l"], labels: Int[Tensor, " b"], label_sets: Bool[Tensor, "b l"] | None = None
) -> Float[Tensor, ""]:
    """The cross entropy of each row's label, or with `label_sets` the binary one of each of l labels, as a mean.

        mean_b  -log softmax(logits_b)[label_b]
        mean_b  mean_l  -log sigmoid(+ or - logits_bl)          + where row b has label l

    A row without labels adds 0 and counts in the mean; its number in `labels` is l or more. How the paper's cross
    entropy was made is not published; this is our reconstruction.
    """
    num_labels = logits.shape[1]
    if label_sets is None:
        labelled = labels < num_labels
        losses = F.cross_entropy(logits, labels.clamp(max=num_labels - 1), reduction="none")
    else:
        labelled = label_sets.any(dim=1)
        losses = F.binary_cross_entropy_with_logits(logits, label_sets.to(logits.dtype), reduction="none").mean(dim=1)
    return torch.where(labelled, losses, 0.0).mean()
