"""A linear probe on frozen features, fitted to real pictures.

Multinomial logistic regression as in Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?" (arXiv
1805.08974), section 3; it classifies generated pictures, as in Ravuri & Vinyals 2019, "Classification Accuracy
Score" (arXiv 1905.10887), with the parts of real and generated pictures exchanged.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sclgan.metrics.estimate import Estimate
from sclgan.metrics.proportion import proportion

PENALTY = 0.003
MAX_STEPS = 1000
TOLERANCE = 1e-5


@dataclass(frozen=True)
class LinearProbe:
    """Scores of classes for features: ((x - mean) / deviation) W^T + b. `classes` are their labels, in order."""

    mean: Float[Tensor, " d"]
    deviation: Float[Tensor, " d"]
    weight: Float[Tensor, "c d"]
    bias: Float[Tensor, " c"]
    classes: Int[Tensor, " c"]

    def scores(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Logits, in the precision of the probe."""
        return _standardised(features.to(self.weight.dtype), self.mean, self.deviation) @ self.weight.T + self.bias

    def knows(self, labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """True where the probe was fitted to the label."""
        return torch.isin(labels, self.classes)

    def right(self, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, top: int) -> Bool[Tensor, " n"]:
        """True where the label is among the `top` classes of highest score; False where the probe does not know it.

        Equal scores count against the label.

        Raises:
            ValueError: a feature is not finite.
        """
        if not features.isfinite().all():
            raise ValueError("a feature is NaN or infinite: look at the generator's output before measuring it")
        scores, known = self.scores(features), self.knows(labels)
        place = torch.searchsorted(self.classes, labels).clamp(max=len(self.classes) - 1)
        own = scores.gather(1, place[:, None])
        return ((scores >= own).sum(dim=1) <= top) & known


def class_accuracy(
    probe: LinearProbe, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, top: int
) -> Estimate:
    """The share of pictures whose label is among the `top` of the probe, of those whose label the probe knows.

    Raises:
        ValueError: the probe knows none of the labels; a feature is not finite.
    """
    num_known = int(probe.knows(labels).sum())
    if num_known == 0:
        raise ValueError("no caption has a label that the training pictures have: evaluate more pictures")
    num_right = int(probe.right(features, labels, top=top).sum())
    return proportion(num_right, num_known, f"pictures, chance {min(1, top / len(probe.classes)):.2g}")


def fit(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, penalty: float = PENALTY, tolerance: float = TOLERANCE
) -> LinearProbe:
    """The probe that minimises

        mean over rows of -log softmax(W z + b)[label]  +  penalty / 2 |W|^2,      z = (x - mean) / deviation

    by L-BFGS from 0, to a gradient of at most `tolerance` in each entry. The minimum is unique up to a constant in b,
    so that neither the order of rows nor the start decides. Features that are constant are left out.

    Raises:
        ValueError: fewer than two labels; a feature is not finite; the descent does not arrive.
    """
    classes, targets = torch.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"a probe tells labels apart and was given {len(classes)}: expected pictures of at least two")
    if not features.isfinite().all():
        raise ValueError("a feature of a real picture is NaN or infinite: the extractor's weights are damaged")
    mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
    rows = _standardised(features, mean, deviation)
    parameters = torch.zeros(len(classes), features.shape[1] + 1, dtype=features.dtype)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=MAX_STEPS,
        history_size=10,
        tolerance_grad=tolerance,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        value, parameters.grad = _objective(parameters, rows, targets, penalty)
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    _, gradient = _objective(parameters, rows, targets, penalty)
    if not gradient.abs().max() <= 10 * tolerance:
        raise ValueError(
            f"the probe's fit stopped at a gradient of {float(gradient.abs().max()):.1e} after {MAX_STEPS} steps, "
            f"expected {tolerance:.1e}: raise the penalty, {penalty}"
        )
    return LinearProbe(mean, deviation, parameters[:, :-1], parameters[:, -1], classes)


def _objective(
    parameters: Float[Tensor, "c e"], rows: Float[Tensor, "n d"], targets: Int[Tensor, " n"], penalty: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "c e"]]:
    """The value and its gradient; the last column of `parameters` is the bias, which is not penalised."""
    weight, bias = parameters[:, :-1], parameters[:, -1]
    log_probabilities = F.log_softmax(torch.addmm(bias, rows, weight.T), dim=1)
    value = F.nll_loss(log_probabilities, targets) + penalty / 2 * weight.square().sum()
    error = log_probabilities.exp()
    error[torch.arange(len(rows)), targets] -= 1
    error /= len(rows)
    return value, torch.cat([error.T @ rows + penalty * weight, error.sum(dim=0)[:, None]], dim=1)


def _standardised(
    features: Float[Tensor, "n d"], mean: Float[Tensor, " d"], deviation: Float[Tensor, " d"]
) -> Float[Tensor, "n d"]:
    varies = deviation > 1e-6 * mean.abs()
    return torch.where(varies, (features - mean) / torch.where(varies, deviation, 1), 0)
