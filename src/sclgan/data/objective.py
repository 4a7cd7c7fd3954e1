"""Objectives that the data leave nothing to learn from: said before training, not found in its losses."""

from collections.abc import Collection

import numpy as np

from sclgan.data.labels import LabelRule, Partners
from sclgan.data.printable import listed
from sclgan.data.types import Source

MASKED = frozenset({"words", "sentence"})
"""Terms that tell a picture's caption from those of its batch, where pictures of one label may be left out."""


def objective_notes(
    source: Source,
    *,
    phase: str,
    terms: Collection[str],
    num_views: int,
    batch_size: int,
    label_rule: LabelRule,
    mask_same_label: bool,
) -> list[str]:
    """Notes on terms of a phase that labels or batch size leave less to learn from than one would expect.

    `phase` is how the recipe names the phase, "pretraining" or "training"; `batch_size` is that of all ranks.

    Raises:
        ValueError: a term has nothing to learn from: one picture per batch, no labels, one label alone.
    """
    if batch_size == 1:
        raise ValueError(
            f"{phase}.batch_size is 1: a single picture has no other caption to be told from, so there is nothing to "
            "learn; set it to 2 or more"
        )
    if label_rule == "attributes" and "cross_entropy" in terms:
        raise ValueError(f"'cross_entropy' of {phase} tells labels apart, not attributes: take label_rule=weighted")
    partners = Partners(source.labels, len(source.label_names), label_rule)
    contrasted = "contrast" in terms and num_views > 1 and label_rule != "itself"
    for term in ("contrast", "cross_entropy"):
        if term in terms and (term != "contrast" or contrasted):
            _check_labels(source, partners, phase, term)
    notes = [_on_pairs(partners)] if contrasted else []
    if partners.num_without < partners.num_rows and partners.tell_apart == 0:
        notes.append(f"{_one_label(source, partners)}: labels are not used, as if there were none")
    elif mask_same_label and MASKED & set(terms):
        notes.append(_on_rivals(partners, phase, batch_size))
    return [note for note in notes if note]


def _check_labels(source: Source, partners: Partners, phase: str, term: str) -> None:
    """Refuses a term that needs several labels on data that have one or none."""
    if partners.num_without == partners.num_rows:
        needs = "two views of one label need them" if term == "contrast" else "'cross_entropy' tells them apart"
        do = "train with num_views=1 and without 'contrast'" if term == "contrast" else "leave the term out"
        raise ValueError(f"'{source.name}' has no labels, and {needs}: give the pictures labels, or {do}")
    one = partners.tell_apart == 0 if term == "contrast" else np.count_nonzero(partners.num_rows_of) == 1
    if one:
        raise ValueError(
            f"{_one_label(source, partners)}, so '{term}' of {phase} has nothing to learn: give pictures that show "
            "different things different labels, or train the plain recipe, which needs none"
        )


def _one_label(source: Source, partners: Partners) -> str:
    whole = partners.labels_of(0).tolist() if partners.rule == "exact" else [int(partners.shares.argmax())]
    under = f" under label_rule={partners.rule}" if np.count_nonzero(partners.num_rows_of) > 1 else ""
    num_labelled = partners.num_rows - partners.num_without
    names = listed([source.label_names[label] for label in whole])
    return f"all {num_labelled:,} labelled training pictures have the same label{under}, {names}"


def _on_pairs(partners: Partners) -> str:
    num_alone = int((~partners.has_partner).sum()) - partners.num_without
    if num_alone + partners.num_without == partners.num_rows:
        return (
            "no two training pictures share a label, so that 'contrast' pairs each with itself, another caption and "
            "another crop: give pictures that show the same thing the same label"
        )
    if not num_alone and not partners.num_without:
        return ""
    return (
        f"{num_alone:,} of {partners.num_rows:,} training pictures are alone with their label and "
        f"{partners.num_without:,} have none: each is paired with itself"
    )


def _on_rivals(partners: Partners, phase: str, batch_size: int) -> str:
    rivals = (batch_size - 1) * partners.tell_apart
    if rivals >= 1:
        return ""
    return (
        f"in {phase} a picture has {rivals:.1g} others of another label in its batch of {batch_size} on average, and "
        f"is told from those alone: raise {phase}.batch_size, or set encoders.mask_same_label=false"
    )
