"""The report of a table as text: the words for its numbers, Markdown and CSV."""

import csv
import io
import statistics
from typing import Any

from sclgan.experiments.compare import cost_of
from sclgan.experiments.tables.definitions import ending_title, title
from sclgan.experiments.tables.levelling import LEVEL
from sclgan.experiments.tables.report import RECALL, SIGNIFICANT, Comparison, GroupResults, Score, TableReport
from sclgan.experiments.tables.seeds import CONFIDENCE, FEWEST

CSV_HEADS = ("data", "gan", "recipe", "protocol", "better", "real_pictures")
"""The first columns of a table in CSV."""
OVERALL_NOTE = "All GANs together: the geometric mean of the ratios less 1, with the test over seeds."


def value_text(score: Score) -> str:
    """The mean, and half the width of its interval to two digits."""
    ends = score.interval
    return f"{score.mean:.4g}" + (f" ± {float(f'{(ends[1] - ends[0]) / 2:.2g}'):g}" if ends else "")


def change_text(found: Comparison | None) -> str:
    """A relative change in percent."""
    return "" if found is None or found.change is None else f"{100 * found.change:+.1f} %"


def p_text(found: Comparison | None) -> str:
    """A p-value, or why there is none."""
    if found is None:
        return ""
    return "too few seeds" if found.p is None else f"{found.p:.2g}" if found.p >= 0.001 else "< 0.001"


def seeds_note(made: TableReport) -> str:
    """How to read means, intervals and tests."""
    num_seeds = len({run.seed for run in made.runs})
    few = f" With fewer than {FEWEST} seeds there is no test." if num_seeds < FEWEST else ""
    return (
        f"Mean over {num_seeds} {'seeds' if num_seeds > 1 else 'seed'}, ± half of its {CONFIDENCE:.0%} interval "
        "(Student's t). In brackets the change against the plain row; * where Student's paired test over seeds gives "
        f"p < {SIGNIFICANT:.2g}. Each test stands alone: of twenty without any effect one is starred by chance.{few} "
        f"{RECALL} is of the encoders alone: mean of R@1 and R@5, both ways, on held-out pictures."
    )


def costs(made: TableReport) -> list[dict[str, Any]]:
    """A row per recipe: means over its seeds of images and seconds of both phases, and the largest memory."""
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


def markdown(made: TableReport) -> str:
    """The whole report without curves and samples."""
    lines = [f"# {made.table.title}", "", *(f"- {note}" for note in [*made.notes, seeds_note(made)])]
    lines += [f"- failed: {who}: {why}" for who, why in made.failed.items()]
    for data in made.data():
        lines += ["", f"## {data}", "", *_summary(made, data)]
    for results in made.groups:
        if results.scores:
            lines += ["", f"## {results.group.title} on {results.group.data}, in detail", "", *_detail(made, results)]
    lines += _levelling_table(made)
    lines += ["", "## Cost", "", *_cost_table(made)]
    if made.published():
        lines += [
            *("", "## Published", "", "By other protocols than ours, and by the code of their authors."),
            *("", "| data | model | protocol | value | source |", "|---|---|---|---|---|"),
        ]
        lines += [f"| {p.data} | {p.model} | {p.protocol} | {p.value} | {p.source} |" for p in made.published()]
    return "\n".join(lines) + "\n"


def _summary(made: TableReport, data: str) -> list[str]:
    columns = made.columns[data]
    if not columns:
        return ["Nothing is graded yet."]
    lines = [
        f"| | | {' | '.join(f'`{column.label}`, {column.better} is better' for column in columns)} |",
        f"|---|---|{'---|' * len(columns)}",
    ]
    for results in made.groups:
        for name in results.group.names if results.group.data == data else ():
            scores = results.scores.get(name, {})
            cells = [summary_text(scores[c.label]) if c.label in scores else "not yet" for c in columns]
            lines.append(f"| {results.group.title} | {title(name)} | {' | '.join(cells)} |")
    floors = ["" if column.floor is None else f"{column.floor:.4g}" for column in columns]
    return [*lines, f"| real pictures | | {' | '.join(floors)} |", *_overall_table(made, data)]


def _overall_table(made: TableReport, data: str) -> list[str]:
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
        lines.append(f"| {ending_title(row.ending)} | {made.table.compared_with[row.than]} | {' | '.join(cells)} |")
    return lines


def overall_text(found: Comparison | None, better: str) -> str:
    """The change, its p-value, and a star where the test counts."""
    if found is None:
        return ""
    return f"{change_text(found)}{'*' if found.verdict(better) else ''}" + (
        f" (p {p_text(found)})" if found.p is not None else ""
    )


def summary_text(score: Score) -> str:
    """The cell of the summary: value, change against the plain row, star."""
    change = change_text(score.comparisons.get(""))
    return value_text(score) + (f" ({change}){'*' if score.verdict('') else ''}" if change else "")


def _detail(made: TableReport, results: GroupResults) -> list[str]:
    than = made.table.compared_with
    heads = ["protocol", "row", "mean", f"{CONFIDENCE:.0%} interval", "by seed"]
    heads += [part for other in than.values() for part in (f"against {other}", "p")]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for column in made.columns[results.group.data]:
        for name, scores in results.scores.items():
            if column.label in scores:
                score = scores[column.label]
                ends = "one seed" if score.interval is None else "{:.4g} to {:.4g}".format(*score.interval)
                by_seed = ", ".join(f"{value:.4g}" for value in score.values.values())
                cells = [f"`{column.label}`", title(name), f"{score.mean:.4g}", ends, by_seed]
                for one in than:
                    cells += [change_text(score.comparisons.get(one)), p_text(score.comparisons.get(one))]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def _levelling_table(made: TableReport) -> list[str]:
    """The section on levelling off; nothing where no run was evaluated in training."""
    if not (levelling := made.levelling):
        return []
    lines = [
        "",
        "## Has it levelled off?",
        "",
        "| recipe | change over the last third, by seed | levelled off |",
        "|---|---|---|",
    ]
    for name, of_seeds in levelling.items():
        changes = ", ".join(f"{100 * change:+.1f} %" for change in of_seeds.values())
        num_level = sum(abs(change) < LEVEL for change in of_seeds.values())
        lines.append(f"| `{name}` | {changes} | {num_level} of {len(of_seeds)} |")
    return [
        *(*lines, ""),
        "The first Frechet distance of the evaluations in training: a line of least squares through those of the last "
        f"third of a run's pictures. Below {LEVEL:.0%} a run counts as levelled off.",
    ]


def _cost_table(made: TableReport) -> list[str]:
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


def table_csv(made: TableReport) -> str:
    """A line per row and protocol."""
    than, seeds = made.table.compared_with, sorted({run.seed for run in made.runs})
    heads = [*CSV_HEADS, "mean", "low", "high"]
    heads += [
        f"{what}_{other.replace(' ', '_')}" for other in than.values() for what in ("change_against", "p_against")
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*heads, *(f"seed{seed}" for seed in seeds)])
    for results in made.groups:
        columns = {column.label: column for column in made.columns[results.group.data]}
        for name, scores in results.scores.items():
            for label, score in scores.items():
                column = columns[label]
                found = [score.comparisons.get(one) for one in than]
                numbers = [value for one in found for value in ((one.change, one.p) if one else (None, None))]
                about = [results.group.data, results.group.gan, name, label, column.better, column.floor]
                by_seed = [score.values.get(seed) for seed in seeds]
                writer.writerow([*about, score.mean, *(score.interval or (None, None)), *numbers, *by_seed])
    return buffer.getvalue()
