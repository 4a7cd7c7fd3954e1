"""The diversity of the pictures of one label: the mean pairwise cosine distance of features.

After Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 4.2, which compares
pictures of one class by MS-SSIM; here by the features of an extractor. Mode collapse within labels lowers it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sclgan.metrics.estimate import Estimate


def distances_within_labels(features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> dict[int, float]:
    """The mean cosine distance of two different pictures, for each label that has at least two.

    u_i = f_i / |f_i|,   s = sum_i u_i over the n rows of a label
    mean_{i != j} (1 - u_i.u_j)  =  1 - (|s|^2 - n) / (n (n - 1))            in [0, 2], 0 for equal pictures
    """
    directions, labels = F.normalize(features.detach().cpu().double(), dim=1), labels.cpu()
    distances = {}
    for label in sorted(set(labels.tolist())):
        rows = directions[labels == label]
        if (n := len(rows)) > 1:
            total = rows.sum(dim=0)
            distances[label] = 1 - (float(total @ total) - n) / (n * (n - 1))
    return distances


def intra_class_diversity(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, seed: int = 0, num_resamples: int = 1000
) -> Estimate:
    """The mean over labels of `distances_within_labels`; the interval is a seeded 95 % bootstrap over labels.

    Captions may differ within a label, so the value holds both the variety that the captions ask for and that of the
    noise.

    Raises:
        ValueError: no label has two rows.
    """
    values = torch.tensor(list(distances_within_labels(features, labels).values()), dtype=torch.float64)
    if len(values) == 0:
        raise ValueError("no label has two pictures: generate several for each label to measure their diversity")
    if len(values) == 1:
        return Estimate(float(values))
    generator = torch.Generator().manual_seed(seed)
    means = values[torch.randint(len(values), (num_resamples, len(values)), generator=generator)].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(float(values.mean()), (low, high), f"95 % bootstrap over {len(values)} labels")
