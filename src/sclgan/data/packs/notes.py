"""Probable mistakes in shards: held-out pictures that are trained on, labels that look alike."""

from collections.abc import Mapping, Sequence

import numpy as np

from sclgan.data.printable import printable
from sclgan.data.sets.own.label_notes import look_alike

_MOST_GROUPS = 20  # of labels that look alike


def label_notes(counts: Mapping[int | str, int]) -> list[str]:
    """A line for each group of labels that look alike; `counts` are the pictures of each label."""
    groups = look_alike(counts)
    lines = [
        f"labels {', '.join(f'{label!r} ({counts[label]:,} pictures)' for label in group)} look alike and are "
        "different labels: if they mean the same, write them in the same way"
        for group in groups[:_MOST_GROUPS]
    ]
    more = len(groups) - _MOST_GROUPS
    return [*lines, f"{more:,} more groups of labels look alike"] if more > 0 else lines


def copy_notes(digests: Mapping[str, Sequence[int]], keys: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each split whose pictures are also in the split "train", told by the digests of their files."""
    trained = np.array(digests.get("train", []), np.uint64)
    lines = []
    for split, of_split in digests.items():
        if split == "train":
            continue
        rows = np.flatnonzero(np.isin(np.array(of_split, np.uint64), trained))
        if len(rows):
            lines.append(
                f"{len(rows):,} of {len(of_split):,} pictures of the split '{split}' are also in 'train', byte for "
                f"byte, such as {printable(keys[split][int(rows[0])])}: values measured on them are too good"
            )
    return lines
