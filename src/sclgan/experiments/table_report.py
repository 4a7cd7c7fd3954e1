"""What a table says: statistics over seeds for each row and protocol, as Markdown and CSV."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sclgan.experiments.compare import cost_of
from sclgan.experiments.published import PUBLISHED, Published
from sclgan.experiments.seeds import CONFIDENCE, FEWEST, interval, paired_test
from sclgan.experiments.table_runs import TableRun
from sclgan.experiments.tables import Group, Table, called, title, variant
from sclgan.train.log import read_metrics

SIGNIFICANT = 1 - CONFIDENCE

RECALL = "encoders_recall"
"""Of the encoders, not of the GAN: the mean of R@1 and R@5, image to text and text to image, at the epoch kept."""


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
class Entry:
    """A row under one protocol: a value for each seed, and what they say together."""

    values: Mapping[int, float]
    comparisons: Mapping[str, Comparison]
    """By the variant that it is compared with."""
    better: str

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def interval(self) -> tuple[float, float] | None:
        return interval(list(self.values.values()))

    def verdict(self, than: str) -> str:
        """ "better" or "worse" where the test against that variant says so, else ""."""
        found = self.comparisons.get(than)
        return found.verdict(self.better) if found else ""


@dataclass(frozen=True)
class Column:
    """A protocol of a data set: its label, which way is better, what real pictures score."""

    label: str
    better: str
    floor: float | None
    extractor: str | None


@dataclass(frozen=True)
class GroupResults:
    """The rows of a group: entries by recipe and by protocol label; what is not measured yet is left out."""

    group: Group
    entries: Mapping[str, Mapping[str, Entry]]

    def number(self, name: str) -> int:
        """The colour of a row: its place among those that are measured."""
        return list(self.entries).index(name)

    def of_variant(self, ending: str) -> Mapping[str, Entry]:
        """The entries of the row with this ending of its name, by protocol label."""
        return next((entries for name, entries in self.entries.items() if variant(name) == ending), {})


@dataclass(frozen=True)
class Overall:
    """A variant beside another one over all GANs of a data set, by protocol."""

    variant: str
    than: str
    comparisons: Mapping[str, Comparison]


@dataclass(frozen=True)
class Report:
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
        """What the GANs of a data set say together of the rows that are not plain; nothing of fewer than two GANs."""
        groups = [results for results in self.groups if results.group.data == data and results.entries]
        if len(groups) < 2:
            return []
        found = []
        for than in self.table.compared_with:
            for one in dict.fromkeys(variant(name) for results in groups for name in results.group.names):
                pairs = [(results.of_variant(one), results.of_variant(than)) for results in groups]
                comparisons = {
                    column.label: together
                    for column in self.columns[data]
                    if one not in ("", than) and (together := compare_together(pairs, column.label)) is not None
                }
                if comparisons:
                    found.append(Overall(one, than, comparisons))
        return found

    def published(self) -> list[Published]:
        """The literature's numbers on these data."""
        return [one for one in PUBLISHED if self.table.name == "main" and one.data in self.columns]

    def runs_of(self, name: str) -> list[TableRun]:
        """The runs of a recipe that are graded, by seed."""
        return [run for run in self.runs if run.name == name and run.is_trained() and run.evaluations()]


def report(
    table: Table, runs: Sequence[TableRun], *, notes: Sequence[str] = (), failed: Mapping[str, str] | None = None
) -> Report:
    """Gathers what the runs have measured."""
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
        entries = {
            name: {
                label: _entry(table, group, values, name, label, columns[group.data][label].better)
                for label in values[name]
            }
            for name in group.names
            if name in values
        }
        groups.append(GroupResults(group, entries))
    in_order = {data: list(of_data.values()) for data, of_data in columns.items()}
    return Report(table, runs, in_order, groups, [*notes, *_where_measured(records.values())], failed or {})


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


def _entry(
    table: Table,
    group: Group,
    values: Mapping[str, Mapping[str, Mapping[int, float]]],
    name: str,
    label: str,
    better: str,
) -> Entry:
    own = values[name][label]
    others = {variant(other): values.get(other, {}).get(label, {}) for other in group.names if other != name}
    comparisons = {than: compare(own, others[than]) for than in table.compared_with if others.get(than)}
    return Entry(own, comparisons, better)


def compare(own: Mapping[int, float], others: Mapping[int, float]) -> Comparison:
    """A row beside another, seed by seed."""
    seeds = [seed for seed in own if seed in others]
    if not seeds:
        return Comparison(None, None)
    mine, theirs = [own[seed] for seed in seeds], [others[seed] for seed in seeds]
    base = statistics.fmean(theirs)
    return Comparison((statistics.fmean(mine) - base) / abs(base) if base else None, paired_test(mine, theirs))


def compare_together(pairs: Sequence[tuple[Mapping[str, Entry], Mapping[str, Entry]]], label: str) -> Comparison | None:
    """Rows beside other ones, each of a GAN, under one protocol: the geometric mean of the ratios, less 1.

    The logarithms of the ratios are averaged over the GANs of a seed, and the test is on these means: the GANs of a
    seed share encoders and the order of the data, so they are no independent trials. Seeds that a GAN lacks are left
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


def value_text(entry: Entry) -> str:
    """The mean, and half of its interval to two digits."""
    ends = entry.interval
    return f"{entry.mean:.4g}" + (f" ± {float(f'{(ends[1] - ends[0]) / 2:.2g}'):g}" if ends else "")


def change_text(found: Comparison | None) -> str:
    """A relative change in percent."""
    return "" if found is None or found.change is None else f"{100 * found.change:+.1f} %"


def p_text(found: Comparison | None) -> str:
    """A p-value, or why there is none."""
    if found is None:
        return ""
    return "too few seeds" if found.p is None else f"{found.p:.2g}" if found.p >= 0.001 else "< 0.001"


def seeds_note(made: Report) -> str:
    """How to read means, intervals and tests."""
    num_seeds = len({run.seed for run in made.runs})
    few = f" With fewer than {FEWEST} seeds there is no test." if num_seeds < FEWEST else ""
    return (
        f"Mean over {num_seeds} {'seeds' if num_seeds > 1 else 'seed'}, ± half of its {CONFIDENCE:.0%} interval "
        "(Student's t). In brackets the change against the plain row; * where Student's paired test over seeds gives "
        f"p < {SIGNIFICANT:.2g}. Each test stands alone: of twenty without any effect one is starred by chance.{few} "
        f"{RECALL} is of the encoders alone: mean of R@1 and R@5, both ways, on held-out pictures."
    )


def costs(made: Report) -> list[dict[str, Any]]:
    """A row for each recipe: means over its seeds of images and seconds of both phases, and the largest memory."""
    rows = []
    for group in made.table.groups:
        for name in group.names:
            row: dict[str, Any] = {"name": name}
            for phase in ("encoders", "folder"):
                found = [cost for run in made.runs_of(name) if (cost := cost_of(getattr(run, phase)))]
                if found:
                    row[phase] = {
                        "images": round(statistics.fmean(cost["images"] for cost in found)),
                        "seconds": round(statistics.fmean(cost["seconds"] for cost in found)),
                    }
                    row["memory"] = max(row.get("memory", 0.0), *(cost.get("peak_memory_gib", 0.0) for cost in found))
            if "folder" in row:
                rows.append(row)
    return rows


def markdown(made: Report) -> str:
    """The whole report but curves and samples."""
    lines = [f"# {made.table.title}", "", *(f"- {note}" for note in [*made.notes, seeds_note(made)])]
    lines += [f"- failed: {who}: {why}" for who, why in made.failed.items()]
    for data in made.data():
        lines += ["", f"## {data}", "", *_summary(made, data)]
    for results in made.groups:
        if results.entries:
            lines += ["", f"## {results.group.title} on {results.group.data}, in detail", "", *_detail(made, results)]
    lines += ["", "## Cost", "", *_cost_table(made)]
    if made.published():
        lines += [
            *("", "## Published", "", "By other protocols than ours, and by the code of their authors."),
            *("", "| data | model | protocol | value | source |", "|---|---|---|---|---|"),
        ]
        lines += [f"| {p.data} | {p.model} | {p.protocol} | {p.value} | {p.source} |" for p in made.published()]
    return "\n".join(lines) + "\n"


def _summary(made: Report, data: str) -> list[str]:
    columns = made.columns[data]
    if not columns:
        return ["Nothing is graded yet."]
    lines = [
        f"| | | {' | '.join(f'`{column.label}`, {column.better} is better' for column in columns)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for results in made.groups:
        for name in results.group.names if results.group.data == data else ():
            entries = results.entries.get(name, {})
            cells = [summary_text(entries[c.label]) if c.label in entries else "not yet" for c in columns]
            lines.append(f"| {results.group.title} | {title(name)} | {' | '.join(cells)} |")
    floors = ["" if column.floor is None else f"{column.floor:.4g}" for column in columns]
    return [*lines, f"| real pictures | | {' | '.join(floors)} |", *_overall_table(made, data)]


def _overall_table(made: Report, data: str) -> list[str]:
    rows, columns = made.overall(data), made.columns[data]
    if not rows:
        return []
    lines = [
        *("", OVERALL_NOTE, ""),
        f"| all GANs | against | {' | '.join(f'`{column.label}`' for column in columns)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for row in rows:
        cells = [overall_text(row.comparisons.get(column.label), column.better) for column in columns]
        lines.append(f"| {called(row.variant)} | {made.table.compared_with[row.than]} | {' | '.join(cells)} |")
    return lines


OVERALL_NOTE = "All GANs together: the geometric mean of the ratios less 1, with the test over seeds."


def overall_text(found: Comparison | None, better: str) -> str:
    """The change, its p-value, and a star where the test counts."""
    if found is None:
        return ""
    return f"{change_text(found)}{'*' if found.verdict(better) else ''}" + (
        f" (p {p_text(found)})" if found.p is not None else ""
    )


def summary_text(entry: Entry) -> str:
    """The cell of the summary: value, change against the plain row, star."""
    change = change_text(entry.comparisons.get(""))
    return value_text(entry) + (f" ({change}){'*' if entry.verdict('') else ''}" if change else "")


def _detail(made: Report, results: GroupResults) -> list[str]:
    than = made.table.compared_with
    heads = ["protocol", "row", "mean", f"{CONFIDENCE:.0%} interval", "by seed"]
    heads += [part for called in than.values() for part in (f"against {called}", "p")]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for column in made.columns[results.group.data]:
        for name, entries in results.entries.items():
            if column.label in entries:
                entry = entries[column.label]
                ends = "one seed" if entry.interval is None else "{:.4g} to {:.4g}".format(*entry.interval)
                by_seed = ", ".join(f"{value:.4g}" for value in entry.values.values())
                cells = [f"`{column.label}`", title(name), f"{entry.mean:.4g}", ends, by_seed]
                for one in than:
                    cells += [change_text(entry.comparisons.get(one)), p_text(entry.comparisons.get(one))]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cost_table(made: Report) -> list[str]:
    rows = costs(made)
    memory = any(row["memory"] for row in rows)
    heads = ["recipe", "pre-training images", "seconds", "GAN training images", "seconds", *["GiB"] * memory]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [f"`{row['name']}`"]
        for phase in ("encoders", "folder"):
            cells += [f"{row[phase]['images']:,}", f"{row[phase]['seconds']:,}"] if phase in row else ["", ""]
        lines.append(f"| {' | '.join([*cells, *[format(row['memory'], '.1f')] * memory])} |")
    return [*lines, "", "Means over seeds. Rows that agree in the pre-training share it: its cost is paid once."]


def table_csv(made: Report) -> str:
    """A line for each row and protocol."""
    than, seeds = made.table.compared_with, sorted({run.seed for run in made.runs})
    heads = ["data", "gan", "recipe", "protocol", "better", "real_pictures", "mean", "low", "high"]
    heads += [
        f"{what}_{called.replace(' ', '_')}" for called in than.values() for what in ("change_against", "p_against")
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*heads, *(f"seed{seed}" for seed in seeds)])
    for results in made.groups:
        columns = {column.label: column for column in made.columns[results.group.data]}
        for name, entries in results.entries.items():
            for label, entry in entries.items():
                column = columns[label]
                found = [entry.comparisons.get(one) for one in than]
                numbers = [value for one in found for value in ((one.change, one.p) if one else (None, None))]
                about = [results.group.data, results.group.gan, name, label, column.better, column.floor]
                by_seed = [entry.values.get(seed) for seed in seeds]
                writer.writerow([*about, entry.mean, *(entry.interval or (None, None)), *numbers, *by_seed])
    return buffer.getvalue()
