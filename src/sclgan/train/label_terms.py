"""The terms beside the base method's own: the contrast, and the other ways to use a label or a second view.

Liu et al. 2024 (arXiv 2412.03957) compare their contrast with UniCL (the contrast with pairs="cross") and with cross
entropy; NT-Xent is that of Ye et al. 2021 ("T2I_CL").
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.data.types import Batch
from sclgan.encoders.base import Encoders
from sclgan.losses.classification import label_cross_entropy
from sclgan.losses.contrastive import nt_xent, quadruple
from sclgan.losses.terms import Terms
from sclgan.recipe import Pretraining, Training

NEED_TWO_VIEWS = frozenset({"contrast", "nt_xent"})
LABEL_TERMS = NEED_TWO_VIEWS | {"cross_entropy"}


def label_terms(
    settings: Pretraining | Training,
    weights: Mapping[str, float],
    texts: Sequence[Float[Tensor, "b d"]],
    images: Sequence[Float[Tensor, "b d"]],
    batch: Batch,
    encoders: Encoders,
    *,
    reals: Sequence[Float[Tensor, "b d"]] = (),
) -> Terms:
    """Those of `LABEL_TERMS` that the weights name.

    `texts` and `images` are the codes of every view; the contrast is on what `encoders.projection` makes of them, where
    there is one, and `reals` are codes of real pictures that join it. In pre-training NT-Xent is on texts and cross
    entropy on both codes, in the GAN phase both are on the generated images alone, which is what learns there.
    """
    pretraining = isinstance(settings, Pretraining)
    terms: Terms = {}
    if "contrast" in weights:
        head = encoders.projection or nn.Identity()
        terms["contrast"] = quadruple(
            [head(codes) for codes in texts],
            [head(codes) for codes in (*images, *reals)],
            batch.labels,
            temperature=settings.temperature,
            pairs=settings.pairs,
            label_sets=batch.label_sets,
        )
    if "nt_xent" in weights:
        terms["nt_xent"] = nt_xent(texts if pretraining else images, temperature=settings.temperature)
    if "cross_entropy" in weights:
        classifier = encoders.label_classifier
        if classifier is None:
            raise ValueError("these encoders were pre-trained without 'cross_entropy', which makes the classifier")
        sets = [None] * len(images) if batch.label_sets is None else list(batch.label_sets)
        judged = [*zip(images, sets, strict=True), *(zip(texts, sets, strict=True) if pretraining else ())]
        losses = [label_cross_entropy(classifier(codes), batch.labels, own) for codes, own in judged]
        terms["cross_entropy"] = torch.stack(losses).mean()  # as the contrast is a mean over all codes
    return terms
