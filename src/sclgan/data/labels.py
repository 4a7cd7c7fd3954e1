"""The label rules: which label a pair of views shares, and which rows are partners under it.

Liu et al. 2024 (arXiv 2412.03957) pair pictures "of the same label"; how, where a picture has several, is not
published. All rules here are ours; `weighted` goes with the loss of Zhang & Wu 2024, "Multi-Label Supervised
Contrastive Learning". They coincide where every row has one label.
"""

from array import array
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

LabelRule = Literal["shared", "dominant", "exact", "weighted", "attributes", "itself"]
RULES: tuple[LabelRule, ...] = ("shared", "dominant", "exact", "weighted")
"""The rules that pair different rows of any source."""

_DRAWS_A_LABEL = ("shared", "weighted", "attributes")


class Partners:
    """Labels and partners of the rows of a data set, under one rule.

    - "shared": a label of the anchor is drawn, rarer ones more often (weight 1 / number of its rows) and only one that
      another row has; partners are the other rows that have it. It is the pair's label in this step.
    - "dominant": the pair's label is the row's first; partners are the other rows with the same first label.
    - "exact": partners have the same set of labels, which is the pair's label. A row alone with its set takes its
      partner by "shared", and keeps a label of its own.
    - "weighted": label and partner are drawn as by "shared", but the contrast has a term for every label of a row; see
      `sclgan.losses.contrastive.quadruple`.
    - "attributes": as "weighted", with a term for every attribute of a picture as well (see `types.Attributed`).
    - "itself": every row is its own partner, with another caption and another crop: pairs that need no label.

    `labels[i]` are the labels of row i, the dominant one first. A row without labels, or without a partner, is paired
    with itself. A row without labels has a label of its own; so has every row where the labels tell no two rows apart
    (`tell_apart`).
    """

    def __init__(self, labels: Sequence[tuple[int, ...]], num_labels: int, rule: LabelRule) -> None:
        if rule not in get_args(LabelRule):
            raise ValueError(f"there is no label rule {rule!r}; take one of {', '.join(get_args(LabelRule))}")
        self.rule, self.num_labels = rule, num_labels
        # Flat arrays: a list of tuples of a million rows would take ten times the memory, in every worker.
        starts, flat = array("q", [0]), array("q")
        for own in labels:
            flat.extend(own)
            starts.append(len(flat))
        self._starts, self._labels = np.array(starts, np.int64), np.array(flat, np.int64)
        self.num_rows = len(self._starts) - 1

    @property
    def num_without(self) -> int:
        """How many rows have no label."""
        return int((np.diff(self._starts) == 0).sum())

    @cached_property
    def shares(self) -> Float[np.ndarray, " g"]:
        """The expected share of the rows whose pair has each label (for "exact": each set), by its number."""
        if self.rule not in _DRAWS_A_LABEL:
            return np.bincount(self._groups[self._groups >= 0], minlength=1) / max(1, self.num_rows)
        frequency = self.num_rows_of[self._labels]
        weights = np.where(frequency > 1, 1.0 / np.maximum(frequency, 1), 0.0)
        totals = np.bincount(self._rows, weights, minlength=self.num_rows)
        alone = np.unique(self._rows[totals[self._rows] == 0])
        weights[self._starts[alone]] = totals[alone] = 1.0
        return np.bincount(self._labels, weights / totals[self._rows], minlength=self.num_labels) / max(
            1, self.num_rows
        )

    @cached_property
    def tell_apart(self) -> float:
        """The probability that the pairs of two rows have different labels. At 0 the labels say nothing.

        Rows without labels differ from all others.
        """
        return max(0.0, 1 - float((self.shares**2).sum())) if self.shares.max(initial=0.0) < 1 - 1e-9 else 0.0

    def labels_of(self, row: int) -> Int[np.ndarray, " k"]:
        """The labels of a row, the dominant one first."""
        return self._labels[self._starts[row] : self._starts[row + 1]]

    def rows_of(self, label: int) -> Int[np.ndarray, " m"]:
        """The rows that have a label, in order."""
        return self._rows_of_labels.of(label)

    @cached_property
    def num_rows_of(self) -> Int[np.ndarray, " l"]:
        """How many rows have each label."""
        return np.bincount(self._labels, minlength=self.num_labels)

    def distribution(self, row: int) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """The candidates of "shared": the labels of `row` that other rows have too, and their probabilities."""
        own = self.labels_of(row)
        own = own[self.num_rows_of[own] > 1]
        weights = 1.0 / self.num_rows_of[own]
        return own, weights / max(weights.sum(), 1e-300)

    def label(self, anchor: int, rng: np.random.Generator) -> int:
        """The label of the pairs of `anchor` in this step: one of `num_labels`, or for "exact" the number of its set.

        A row without labels has a number that no label and no other row has; so has every row where the labels tell
        no two apart. `rng` is used only where there is a choice.
        """
        own = self.labels_of(anchor)
        if len(own) == 0 or self.tell_apart == 0:
            return self._num_groups + anchor
        if self.rule == "exact":
            return self.group(anchor)
        return self._drawn(anchor, rng) if self.rule in _DRAWS_A_LABEL else int(own[0])

    def partner(self, anchor: int, label: int, rng: np.random.Generator) -> int:
        """A uniform other row under the pair's label, which `label` gave; the anchor itself where there is none."""
        if len(self.labels_of(anchor)) == 0 or self.rule == "itself" or self.tell_apart == 0:
            return anchor
        if self.rule in _DRAWS_A_LABEL:
            return self._other(self.rows_of(label), anchor, rng)
        members = self.members(self.group(anchor))
        if self.rule == "exact" and len(members) == 1:
            members = self.rows_of(self._drawn(anchor, rng))
        return self._other(members, anchor, rng)

    def group(self, row: int) -> int:
        """The number of a row's group: its first label, or for "exact" its set; -1 for a row without labels."""
        return int(self._groups[row])

    def members(self, group: int) -> Int[np.ndarray, " m"]:
        """The rows of a group, in order."""
        return self._rows_of_groups.of(group)

    @cached_property
    def has_partner(self) -> Bool[np.ndarray, " n"]:
        """Whether the rule finds another row, for each row."""
        found = np.zeros(self.num_rows, bool)
        if self.rule == "itself" or self.tell_apart == 0:
            return found
        if self.rule == "dominant":
            grouped = self._groups >= 0
            found[grouped] = np.bincount(self._groups[grouped])[self._groups[grouped]] > 1
        else:
            found[self._rows[self.num_rows_of[self._labels] > 1]] = True
        return found

    def multi_hot(self, rows: Sequence[int]) -> Bool[np.ndarray, "r l"]:
        """The label sets of some rows."""
        found = np.zeros((len(rows), self.num_labels), bool)
        for place, row in enumerate(rows):
            found[place, self.labels_of(row)] = True
        return found

    def _drawn(self, anchor: int, rng: np.random.Generator) -> int:
        candidates, probabilities = self.distribution(anchor)
        if len(candidates) < 2:
            return int(candidates[0] if len(candidates) else self.labels_of(anchor)[0])
        return int(candidates[np.searchsorted(probabilities.cumsum()[:-1], rng.random(), side="right")])

    @staticmethod
    def _other(members: Int[np.ndarray, " m"], anchor: int, rng: np.random.Generator) -> int:
        if len(members) < 2:
            return anchor
        place = int(rng.integers(len(members) - 1))
        return int(members[place + (place >= np.searchsorted(members, anchor))])

    @cached_property
    def _rows_of_labels(self) -> "_Members":
        return _Members(self._labels, self._rows)

    @property
    def _rows(self) -> Int[np.ndarray, " k"]:
        """The row of each of `_labels`."""
        return np.repeat(np.arange(self.num_rows), np.diff(self._starts))

    @cached_property
    def _groups(self) -> Int[np.ndarray, " n"]:
        groups = np.full(self.num_rows, -1)
        counts = np.diff(self._starts)
        single = counts == 1 if self.rule == "exact" else counts > 0
        groups[single] = self._labels[self._starts[:-1][single]]
        if self.rule == "exact":  # a set of one label has that label's number, others follow in order of appearance
            numbers: dict[bytes, int] = {}
            for row in np.flatnonzero(counts > 1):
                own = np.sort(self.labels_of(int(row))).tobytes()
                groups[row] = numbers.setdefault(own, self.num_labels + len(numbers))
        return groups

    @cached_property
    def _num_groups(self) -> int:
        """One more than the largest number of a label or set."""
        return self.num_labels if self.rule != "exact" else max(self.num_labels, int(self._groups.max(initial=-1)) + 1)

    @cached_property
    def _rows_of_groups(self) -> "_Members":
        rows = np.flatnonzero(self._groups >= 0)
        return _Members(self._groups[rows], rows)


class _Members:
    """Rows by number, as one sorted array: `of(number)` is a slice of it."""

    def __init__(self, numbers: Int[np.ndarray, " k"], rows: Int[np.ndarray, " k"]) -> None:
        self._rows = rows[np.argsort(numbers, kind="stable")]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(numbers))])

    def of(self, number: int) -> Int[np.ndarray, " m"]:
        if number + 1 >= len(self._starts):
            return self._rows[:0]
        return self._rows[self._starts[number] : self._starts[number + 1]]
