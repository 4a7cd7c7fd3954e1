"""The report of a table: statistics over seeds for each row and protocol, gathered from its runs."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sclgan.experiments.published import PUBLISHED, Published
from sclgan.experiments.tables.definitions import ROW_OF, Group, Table
from sclgan.experiments.tables.levelling import change_of_run
from sclgan.experiments.tables.runs import TableRun
from sclgan.experiments.tables.seeds import CONFIDENCE, interval, paired_test
from sclgan.runs.records import read_metrics

SIGNIFICANT = 1 - CONFIDENCE

RECALL = "encoders_recall"
"""A score of the encoders alone: the mean of R@1 and R@5, image to text and text to image, at the epoch kept."""


@dataclass(frozen=True)
class Comparison:
    """A row beside another one, over the seeds that both have: relative change of the mean, p of the paired test."""

    change: float | None
    p: float | None

    def verdict(self, better: str) -> str:
        """ "better" or "worse" where the test says so, else ""; `better` is "higher" or "lower"."""
        if self.p is None or self.change is None or self.p >= SIGNIFICANT:
            return ""
        return "better" if (self.change > 0) == (better == "higher") else "worse"


@dataclass(frozen=True)
class Score:
    """A row under one protocol: a value for each seed, and their statistics."""

    values: Mapping[int, float]
    comparisons: Mapping[str, Comparison]
    """By the ending of the row that it is compared with."""
    better: str

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def interval(self) -> tuple[float, float] | None:
        return interval(list(self.values.values()))

    def verdict(self, than: str) -> str:
        """ "better" or "worse" where the test against the row of that ending says so, else ""."""
        found = self.comparisons.get(than)
        return found.verdict(self.better) if found else ""


@dataclass(frozen=True)
class Column:
    """A protocol of a data set: its label, which way is better, and the value of real pictures."""

    label: str
    better: str
    floor: float | None
    extractor: str | None


@dataclass(frozen=True)
class GroupResults:
    """The rows of a group: scores by recipe and by protocol label, without those that are not measured yet."""

    group: Group
    scores: Mapping[str, Mapping[str, Score]]

    def number(self, name: str) -> int:
        """The number of a row's colour: its place among those that are measured."""
        return list(self.scores).index(name)

    def of_ending(self, ending: str) -> Mapping[str, Score]:
        """The scores of the row with this ending of its name, by protocol label."""
        return next((scores for name, scores in self.scores.items() if ROW_OF[name].ending == ending), {})


@dataclass(frozen=True)
class Overall:
    """The rows of one ending beside those of another over all GANs of a data set, by protocol."""

    ending: str
    than: str
    comparisons: Mapping[str, Comparison]


@dataclass(frozen=True)
class TableReport:
    """A table with its results so far."""

    table: Table
    runs: Sequence[TableRun]
    columns: Mapping[str, Sequence[Column]]
    """By data set."""
    groups: Sequence[GroupResults]
    notes: Sequence[str]
    """How it was made, one sentence each."""
    failed: Mapping[str, str]

    def data(self) -> list[str]:
        """The data sets, in order."""
        return list(self.columns)

    def overall(self, data: str) -> list[Overall]:
        """The GANs of a data set together, for the rows that are not plain; nothing for fewer than two GANs."""
        groups = [results for results in self.groups if results.group.data == data and results.scores]
        if len(groups) < 2:
            return []
        found = []
        endings = list(dict.fromkeys(ROW_OF[name].ending for results in groups for name in results.group.names))
        for than in self.table.compared_with:
            for one in (ending for ending in endings if ending not in ("", than)):
                pairs = [(results.of_ending(one), results.of_ending(than)) for results in groups]
                together = {column.label: compare_together(pairs, column.label) for column in self.columns[data]}
                if comparisons := {label: made for label, made in together.items() if made is not None}:
                    found.append(Overall(one, than, comparisons))
        return found

    def published(self) -> list[Published]:
        """The literature's numbers on these data."""
        return [one for one in PUBLISHED if self.table.name == "main" and one.data in self.columns]

    @property
    def levelling(self) -> Mapping[str, Mapping[int, float]]:
        """By recipe and seed, what the Frechet distance changed by over the last third of the finished runs."""
        found: dict[str, dict[int, float]] = {}
        for run in self.runs:
            change = change_of_run(run.folder, run.recipe) if run in self.runs_of(run.name) else None
            if change is not None:
                found.setdefault(run.name, {})[run.seed] = change
        return found

    def runs_of(self, name: str) -> list[TableRun]:
        """The runs of a recipe that are graded, by seed."""
        return [run for run in self.runs if run.name == name and run.is_trained() and run.evaluations()]


def report(
    table: Table, runs: Sequence[TableRun], *, notes: Sequence[str] = (), failed: Mapping[str, str] | None = None
) -> TableReport:
    """Gathers the results of the runs so far."""
    records = {
        (run.name, run.seed): (run.evaluations() if run.is_trained() else {}) | encoders_recall(run) for run in runs
    }
    columns: dict[str, dict[str, Column]] = {group.data: {} for group in table.groups}
    groups = []
    for group in table.groups:
        values: dict[str, dict[str, dict[int, float]]] = {}  # by recipe, protocol, seed
        for (name, seed), of_run in records.items():
            for label, record in of_run.items() if name in group.names else ():
                values.setdefault(name, {}).setdefault(label, {})[seed] = record["value"]
                known = Column(label, record["better"], record["floor"], record["extractor"])
                columns[group.data].setdefault(label, known)
        scores = {
            name: {
                label: _score(table, group, values, name, label, columns[group.data][label].better)
                for label in values[name]
            }
            for name in group.names
            if name in values
        }
        groups.append(GroupResults(group, scores))
    in_order = {data: list(of_data.values()) for data, of_data in columns.items()}
    return TableReport(table, runs, in_order, groups, [*notes, *_where_measured(records.values())], failed or {})


def _where_measured(records: Iterable[Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """The machines and versions that the evaluations name, as a sentence."""
    found = [record for of_run in records for record in of_run.values() if "machine" in record]
    machines = sorted({record["machine"] for record in found})
    versions = sorted({f"{name} {record['versions'][name]}" for record in found for name in ("sclgan", "torch")})
    return [f"Measured on {'; '.join(machines)} with {', '.join(versions)}."] if found else []


def encoders_recall(run: TableRun) -> dict[str, dict[str, Any]]:
    """How well the run's encoders retrieve held-out pictures, as a record under `RECALL`, once they are pre-trained."""
    records = read_metrics(run.encoders) if run.is_pretrained() else []
    scores = [record["retrieval/mean"] for record in records if "retrieval/mean" in record]
    return {RECALL: {"value": max(scores), "better": "higher", "floor": None, "extractor": None}} if scores else {}


def _score(
    table: Table,
    group: Group,
    values: Mapping[str, Mapping[str, Mapping[int, float]]],
    name: str,
    label: str,
    better: str,
) -> Score:
    own = values[name][label]
    others = {ROW_OF[other].ending: values.get(other, {}).get(label, {}) for other in group.names if other != name}
    comparisons = {than: compare(own, others[than]) for than in table.compared_with if others.get(than)}
    return Score(own, comparisons, better)


def compare(own: Mapping[int, float], others: Mapping[int, float]) -> Comparison:
    """A row beside another, seed by seed."""
    seeds = [seed for seed in own if seed in others]
    if not seeds:
        return Comparison(None, None)
    mine, theirs = [own[seed] for seed in seeds], [others[seed] for seed in seeds]
    base = statistics.fmean(theirs)
    return Comparison((statistics.fmean(mine) - base) / abs(base) if base else None, paired_test(mine, theirs))


def compare_together(pairs: Sequence[tuple[Mapping[str, Score], Mapping[str, Score]]], label: str) -> Comparison | None:
    """Rows beside other ones, each of a GAN, under one protocol: the geometric mean of the ratios, less 1.

    The logarithms of the ratios are averaged over the GANs of a seed, and the test is on these means: the GANs of a
    seed share encoders and the order of the data, so they are not independent trials. Seeds that a GAN lacks are left
    out; None where none is left, or where a value is not positive.
    """
    values = [(own[label].values, other[label].values) for own, other in pairs if label in own and label in other]
    if len(values) < len(pairs) or any(value <= 0 for both in values for one in both for value in one.values()):
        return None
    seeds = set.intersection(*(set(one) for both in values for one in both))
    if not seeds:
        return None
    ratios = [statistics.fmean(math.log(own[seed] / other[seed]) for own, other in values) for seed in sorted(seeds)]
    return Comparison(math.expm1(statistics.fmean(ratios)), paired_test(ratios, [0.0] * len(ratios)))
