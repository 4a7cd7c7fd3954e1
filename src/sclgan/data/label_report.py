"""What each label rule makes of a data set: how many pairs, which labels are drawn, what is paired with itself."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sclgan.data.labels import RULES, LabelRule, Partners

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
        """Of `drawn`, in bits; log2 of the number of labels is the most."""
        shares = np.array(list(self.drawn.values()))
        shares /= shares.sum()
        return float(-(shares * np.log2(shares)).sum())

    def lines(self) -> list[str]:
        """For the terminal."""
        ranked = sorted(self.drawn.items(), key=lambda item: -item[1])
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
    drawn: dict[int, float] = {}
    of_number = dict(enumerate(names))
    num_falling_back = 0
    for row, own in enumerate(labels):
        if not own:
            continue
        if partners.rule in ("shared", "weighted"):
            candidates, shares = partners.distribution(row)
            for label, share in zip(candidates.tolist() or own[:1], shares.tolist() or [1.0], strict=True):
                drawn[label] = drawn.get(label, 0.0) + share / len(labels)
        else:
            number = partners.group(row)
            num_falling_back += len(partners.members(number)) == 1
            drawn[number] = drawn.get(number, 0.0) + 1 / len(labels)
            of_number.setdefault(number, " + ".join(names[label] for label in own))
    repeated = sum(share * (1 - (1 - share) ** (batch_size - 1)) for share in drawn.values())
    return RuleReport(
        partners.rule,
        _num_pairs(partners, labels),
        {of_number[number]: share for number, share in drawn.items()},
        float(1 - partners.has_partner.mean()),
        num_falling_back / len(labels),
        repeated,
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
