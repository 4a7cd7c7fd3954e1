"""A report per label rule on a data set: how many pairs it makes, which labels it draws, what it pairs with itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sclgan.data.labels import RULES, LabelRule, Partners
from sclgan.data.printable import printable

_BLOCK = 1024  # label sets that are compared with all others at once


@dataclass(frozen=True)
class RuleReport:
    """Facts of one rule; shares are of the rows of an epoch.

    `drawn` is the expected share of the rows whose pair has each label (for "exact": each set), rows without labels
    left out. `fall_back` are rows alone with their set, which "exact" pairs by "shared". `repeated` is the expected
    share of a batch's rows whose label another of its rows has too.
    """

    rule: LabelRule
    num_pairs: int
    drawn: dict[str, float]
    self_pairs: float
    fall_back: float
    repeated: float

    @property
    def entropy(self) -> float:
        """The entropy of `drawn` in bits, at most log2 of the number of labels."""
        shares = np.array(list(self.drawn.values()))
        shares /= shares.sum()
        return float(-(shares * np.log2(shares)).sum())

    def lines(self) -> list[str]:
        """The report for the terminal."""
        ranked = sorted(((printable(name), share) for name, share in self.drawn.items()), key=lambda item: -item[1])
        if len(ranked) == 1 and self.num_pairs == 0 and self.self_pairs == 1:
            name, _ = ranked[0]
            return [f"{self.rule}: all labelled pictures have the same label, {name}: it tells nothing apart"]
        most = ", ".join(f"{name} {share:.2%}" for name, share in ranked[:3])
        fewest = ", ".join(f"{name} {share:.2%}" for name, share in ranked[-3:])
        return [
            f"{self.rule}: {self.num_pairs:,} pairs; {self.self_pairs:.2%} of the rows are paired with themselves"
            f"{f', {self.fall_back:.1%} alone with their set' if self.rule == 'exact' else ''}; "
            f"{self.repeated:.1%} of a batch share their label with another row",
            f"    {len(self.drawn):,} labels drawn, {self.entropy:.2f} of {np.log2(max(1, len(self.drawn))):.2f} bits; "
            f"most {most}; least {fewest}",
        ]


def label_reports(
    labels: Sequence[tuple[int, ...]], names: Sequence[str], *, batch_size: int, rules: Sequence[LabelRule] = RULES
) -> list[RuleReport]:
    """The facts of every rule. Shares are computed, not sampled, but for `repeated`: as if rows were independent.

    Raises:
        ValueError: no row has a label.
    """
    if not any(labels):
        raise ValueError("no picture has a label, so that no rule makes pairs: the plain recipes can be trained")
    reports: dict[LabelRule, RuleReport] = {}
    for rule in rules:
        if rule == "weighted" and "shared" in reports:  # it draws as "shared" does
            reports[rule] = replace(reports["shared"], rule=rule)
        else:
            reports[rule] = _report(Partners(labels, len(names), rule), labels, names, batch_size)
    return list(reports.values())


def _report(partners: Partners, labels: Sequence[tuple[int, ...]], names: Sequence[str], batch_size: int) -> RuleReport:
    shares = partners.shares
    drawn = np.flatnonzero(shares).tolist()
    alone = [number for number in drawn if partners.rule == "exact" and len(partners.members(number)) == 1]

    def name_of(number: int) -> str:
        own = [number] if number < len(names) else partners.labels_of(int(partners.members(number)[0])).tolist()
        return " + ".join(names[label] for label in own)

    return RuleReport(
        partners.rule,
        _num_pairs(partners, labels) if partners.tell_apart else 0,
        {name_of(number): float(shares[number]) for number in drawn},
        float(1 - partners.has_partner.mean()),
        len(alone) / len(labels),
        float((shares * (1 - (1 - shares) ** (batch_size - 1))).sum()),
    )


def _num_pairs(partners: Partners, labels: Sequence[tuple[int, ...]]) -> int:
    """How many pairs of different rows the rule can make, in either order."""
    if partners.rule == "dominant":
        counts = np.array(list(Counter(own[0] for own in labels if own).values()))
        return int((counts * (counts - 1) // 2).sum())
    of_sets = Counter(tuple(sorted(own)) for own in labels if own)
    sets, counts = list(of_sets), np.array(list(of_sets.values()), np.float64)
    same = int((counts * (counts - 1) / 2).sum())
    # Rows alone with their set take any row that shares a label.
    askers = np.ones(len(sets), bool) if partners.rule != "exact" else counts == 1
    hot = np.zeros((len(sets), partners.num_labels), np.float32)
    for place, own in enumerate(sets):
        hot[place, list(own)] = True
    # A pair counts once where one of its sets asks, and half from each where both do.
    weights = (counts * np.where(askers, 0.5, 1.0)).astype(np.float32)
    total = 0.0
    for start in range(0, len(sets), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(sets)))
        rows = rows[askers[rows]]
        share_one = (hot[rows] @ hot.T > 0).astype(np.float32)
        share_one[np.arange(len(rows)), rows] = 0
        total += float(counts[rows] @ (share_one @ weights).astype(np.float64))
    return same + round(total)
