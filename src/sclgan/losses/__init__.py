"""Losses as functions of codes and logits; every mean is over the global batch."""

from sclgan.losses.adversarial import (
    bce_fake,
    bce_mismatched,
    bce_real,
    hinge_fake,
    hinge_generator,
    hinge_mismatched,
    hinge_real,
    kl_to_standard_normal,
    matching_aware_gradient_penalty,
)
from sclgan.losses.classification import label_cross_entropy
from sclgan.losses.contrastive import nt_xent, quadruple, supcon
from sclgan.losses.matching import info_nce, sentence_loss, words_loss

__all__ = [
    "bce_fake",
    "bce_mismatched",
    "bce_real",
    "hinge_fake",
    "hinge_generator",
    "hinge_mismatched",
    "hinge_real",
    "info_nce",
    "kl_to_standard_normal",
    "label_cross_entropy",
    "matching_aware_gradient_penalty",
    "nt_xent",
    "quadruple",
    "sentence_loss",
    "supcon",
    "words_loss",
]
