"""Zero-shot classification: a picture is of the class whose caption is nearest in the common space.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sclgan.metrics.retrieval import recall_at


def zero_shot_accuracy(
    k: Sequence[int],
    image_codes: Float[Tensor, "n d"],
    class_codes: Float[Tensor, "c d"],
    labels: Int[Tensor, " n"],
) -> dict[int, float]:
    """The share of images whose class is among the k nearest by cosine, by k; `class_codes[label]` is the class's.

    Chance is k / c, which codes that are all equal score.

    Raises:
        ValueError: a label that no class has; a k below 1.
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(class_codes):
        raise ValueError(
            f"labels are {int(labels.min())} to {int(labels.max())}, but there are {len(class_codes)} classes"
        )
    classes = torch.arange(len(class_codes), device=labels.device)
    return recall_at(k, image_codes, class_codes, image_groups=labels, text_groups=classes).image_to_text
