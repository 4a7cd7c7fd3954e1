"""How different the pictures of one label are from each other: the mean pairwise cosine distance of features.

After Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs", section 4.2, which compares
pictures of one class by MS-SSIM; here by the features of an extractor. Mode collapse within labels lowers it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sclgan import distributed
from sclgan.metrics.statistics import Estimate


class IntraClassDiversity:
    """Mean over labels of the mean cosine distance between two different pictures of the label, in one pass.

        u_i = f_i / |f_i|,   s = sum_i u_i over the n rows of a label
        mean_{i != j} (1 - u_i.u_j)  =  1 - (|s|^2 - n) / (n (n - 1))            in [0, 2], 0 for equal pictures

    Labels with one picture are left out. Captions may differ within a label, so the value holds both the variety
    that the captions ask for and that of the noise.
    """

    def __init__(self) -> None:
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, int] = {}

    def update(self, features: Float[Tensor, "b d"], labels: Int[Tensor, " b"]) -> None:
        """Adds rows and their labels."""
        directions = F.normalize(features.detach().cpu().double(), dim=1)
        for label in sorted(set(labels.tolist())):
            rows = directions[labels.cpu() == label]
            self._add(label, rows.sum(dim=0), len(rows))

    def merge(self, other: "IntraClassDiversity") -> None:
        """Adds the rows that `other` has seen."""
        for label, count in other._counts.items():
            self._add(label, other._sums[label], count)

    def over_ranks(self) -> "IntraClassDiversity":
        """The diversity of every rank's rows, the same on every rank; this one stays as it is."""
        whole = IntraClassDiversity()
        for part in distributed.gather_objects((self._sums, self._counts)):
            other = IntraClassDiversity()
            other._sums, other._counts = part
            whole.merge(other)
        return whole

    def of_labels(self) -> dict[int, float]:
        """The mean pairwise distance within each label that has at least two rows."""
        distances = {}
        for label, n in sorted(self._counts.items()):
            if n > 1:
                total = self._sums[label]
                distances[label] = 1 - (float(total @ total) - n) / (n * (n - 1))
        return distances

    def estimate(self, *, seed: int = 0, num_resamples: int = 1000) -> Estimate:
        """The mean over labels; the interval is a seeded 95 % bootstrap over labels.

        Raises:
            ValueError: no label has two rows.
        """
        values = torch.tensor(list(self.of_labels().values()), dtype=torch.float64)
        if len(values) == 0:
            raise ValueError("no label has two pictures: generate several for each label to measure their diversity")
        if len(values) == 1:
            return Estimate(float(values))
        generator = torch.Generator().manual_seed(seed)
        means = values[torch.randint(len(values), (num_resamples, len(values)), generator=generator)].mean(dim=1)
        low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        return Estimate(float(values.mean()), (low, high), f"95 % bootstrap over {len(values)} labels")

    def _add(self, label: int, total: Tensor, count: int) -> None:
        self._sums[label] = self._sums[label] + total if label in self._sums else total
        self._counts[label] = self._counts.get(label, 0) + count
