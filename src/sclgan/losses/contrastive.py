"""Contrast of codes by label: the supervised contrastive loss, and its use on the quadruple of two views.

Liu et al. 2024 (arXiv 2412.03957), after Khosla et al. 2020, "Supervised Contrastive Learning", Eq. 2.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sclgan.distributed import gather_rows, own_rows, world_size
from sclgan.losses.precision import in_float32

Pairs = Literal["all", "intra", "cross"]


def supcon(z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], *, temperature: float) -> Float[Tensor, ""]:
    """Supervised contrastive loss, the "out" form (Khosla et al. 2020, Eq. 2).

        mean_i  -1/|P(i)|  sum_{p in P(i)}  log( exp(z_i.z_p / tau) / sum_{a != i} exp(z_i.z_a / tau) )

    P(i) are the other rows with label i, on every rank; rows of `z` are L2-normalised here. A row without any
    positive adds 0 and counts in the mean. There is no factor tau/tau_0: the authors' code has one (tau_0 = 0.07),
    which at tau = 0.5 multiplies the loss by 7.

    With n rows of random unit vectors and a large tau the loss is log(n - 1); tight clusters of k rows and a small
    tau give log(k - 1), its floor, which is never 0 for the quadruple (log 3).

    Raises:
        ValueError: `temperature` is not positive.
    """
    return _contrast(z, labels, torch.zeros_like(labels), temperature, "all")


def quadruple(
    texts: Sequence[Float[Tensor, "b d"]],
    images: Sequence[Float[Tensor, "b d"]],
    labels: Int[Tensor, " b"],
    *,
    temperature: float,
    pairs: Pairs = "all",
    label_sets: Bool[Tensor, "v b l"] | None = None,
) -> Float[Tensor, ""]:
    """`supcon` on the text and image codes of every view: (t1, t2, v1, v2), all of one label (Liu et al. 2024).

    The form of the paper's loss is not published; this one is our reconstruction. `pairs` restricts which rows are
    compared, as positives and in the denominator: "all"; "intra", text with text and image with image; "cross", text
    with image only, which is the loss of UniCL (Yang et al. 2022, "Unified Contrastive Learning in Image-Text-Label
    Space"), both directions averaged: with a label of its own for each row it is CLIP's symmetric InfoNCE.

    With `label_sets`, the labels of each view's rows, an anchor has a term for every label of its own, averaged (after
    Zhang & Wu 2024, "Multi-Label Supervised Contrastive Learning"):

        mean_i  1/|Y(i)|  sum_{y in Y(i)}  -1/|P(i, y)|  sum_{p in P(i, y)}  log( ... as above ... )

    P(i, y) are the other rows that have label y; a label without any adds 0 and counts. Rows without labels go by
    `labels`. Every anchor counts the same, however many labels it has; with one label per row the loss is `supcon`.

    More images than texts, a multiple, are further codes of the same rows: (f1, f2, r1, r2) with texts (t1, t2).

    Raises:
        ValueError: `temperature` is not positive, or `pairs` has another value.
    """
    codes = torch.cat([*texts, *images])
    modality = torch.cat([labels.new_zeros(len(texts) * len(labels)), labels.new_ones(len(images) * len(labels))])
    # The texts of all views and then their images, as the codes are.
    sets = None if label_sets is None else label_sets.flatten(0, 1).repeat(len(codes) // label_sets[..., 0].numel(), 1)
    return _contrast(codes, labels.repeat(len(texts) + len(images)), modality, temperature, pairs, sets)


def nt_xent(views: Sequence[Float[Tensor, "b d"]], *, temperature: float) -> Float[Tensor, ""]:
    """Contrast of the views of each row with all other codes, without labels (Chen et al. 2020, "SimCLR", Eq. 1).

    It is `supcon` where every row of a batch has a label of its own.

    Raises:
        ValueError: `temperature` is not positive.
    """
    num_rows = len(views[0])
    rows = torch.arange(num_rows, device=views[0].device) + own_rows(num_rows * world_size()).start
    return supcon(torch.cat(list(views)), rows.repeat(len(views)), temperature=temperature)


@in_float32
def _contrast(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    modality: Int[Tensor, " n"],
    temperature: float,
    pairs: Pairs,
    label_sets: Bool[Tensor, "n l"] | None = None,
) -> Float[Tensor, ""]:
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    mine = own_rows(len(z) * world_size())
    z, labels, modality = gather_rows(F.normalize(z, dim=1)), gather_rows(labels), gather_rows(modality)
    compared = _compared(modality, pairs)[mine]
    positive = compared & (labels[mine, None] == labels[None, :])
    log_p = (z[mine] @ z.T / temperature).masked_fill(~compared, -torch.inf).log_softmax(dim=1)
    if label_sets is not None:
        sets = gather_rows(label_sets.to(z.dtype))
        share = _shares(compared, positive, sets[mine], sets)
        return -(log_p.masked_fill(~compared, 0) * share).sum(1).mean()
    per_anchor = -log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1).clamp(min=1)
    return per_anchor.mean()


def _shares(
    compared: Bool[Tensor, "m n"],
    positive: Bool[Tensor, "m n"],
    own_sets: Float[Tensor, "m l"],
    sets: Float[Tensor, "n l"],
) -> Float[Tensor, "m n"]:
    """The factor of each row's log probability for each anchor: the mean over its labels of 1 / |P(i, y)|."""
    num_positives = compared.to(sets.dtype) @ sets  # [m l]
    num_labels = own_sets.sum(1, keepdim=True)
    by_sets = compared * ((own_sets / num_positives.clamp(min=1)) @ sets.T) / num_labels.clamp(min=1)
    by_labels = positive.to(sets.dtype) / positive.sum(1, keepdim=True).clamp(min=1)
    return torch.where(num_labels > 0, by_sets, by_labels)


def _compared(modality: Int[Tensor, " n"], pairs: Pairs) -> Bool[Tensor, "n n"]:
    same = modality[:, None] == modality[None, :]
    itself = torch.eye(len(modality), dtype=torch.bool, device=modality.device)
    if pairs == "all":
        return ~itself
    if pairs == "intra":
        return same & ~itself
    if pairs == "cross":
        return ~same
    raise ValueError(f"pairs must be 'all', 'intra' or 'cross', not {pairs!r}")
