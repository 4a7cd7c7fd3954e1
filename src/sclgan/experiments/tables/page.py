"""A table from its runs to its files: missing runs are made, and NAME.md, NAME.csv and NAME.html are written."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sclgan import distributed
from sclgan.evaluation.run import SPLIT
from sclgan.experiments.compare import (
    LOSSES,
    PRETRAINING,
    DrawnCaption,
    History,
    differing_fields,
    panels,
    rendered,
    sample_rows,
)
from sclgan.experiments.curves import svg
from sclgan.experiments.tables.definitions import Table, ending_title, table, title
from sclgan.experiments.tables.report import GroupResults, TableReport, report
from sclgan.experiments.tables.runs import missing_data, plan, run_missing, say
from sclgan.experiments.tables.text import (
    CSV_HEADS,
    OVERALL_NOTE,
    change_text,
    costs,
    markdown,
    overall_text,
    p_text,
    seeds_note,
    table_csv,
    value_text,
)
from sclgan.files import check_own, write_atomically
from sclgan.runs.folder import resolved
from sclgan.runs.opened import open_run

NUM_CAPTIONS, NUM_NOISES = 6, 3
MADE_WITH = "Made with sclgan table"
"""How the first note of every table begins."""


def make_table(
    name: str,
    out: Path,
    *,
    num_seeds: int,
    budget: int | None = None,
    data: Sequence[str] = (),
    gans: Sequence[str] = (),
    rows: Sequence[str] = (),
    assignments: Sequence[str] = (),
    num_images: int | None = None,
    jobs: int | None = None,
    num_workers: int | None = None,
) -> Path:
    """Makes and grades the runs that a table lacks, and writes it into `out`; returns the page.

    Tables may share a folder: a row of both is run once.

    Data sets that are not named and whose files are missing are left out, and the reason is logged. Markdown and CSV
    are written after each run, the page at the end. A run that fails is named in the table, and does not stop the
    others.

    Raises:
        ValueError: no such table, data set, GAN, row or field; a budget below one step; a run failed; one of the files
            is there and is not a table.
        FileNotFoundError: the files of a data set that is named are missing.
        KeyboardInterrupt: it was interrupted; calling again continues.
    """
    wanted = table(name, data=data, gans=gans, rows=rows)
    path = out / f"{name}.html"
    check_own(path)
    check_own(out / f"{name}.md", MADE_WITH.encode())
    check_own(out / f"{name}.csv", ",".join(CSV_HEADS).encode())
    runs = plan(wanted, out, num_seeds=num_seeds, budget=budget, assignments=assignments, num_images=num_images)
    absent = missing_data(runs)
    for left_out, reason in absent.items():
        if left_out in data:
            raise FileNotFoundError(f"table {name} cannot be made on {left_out}: {reason}")
        say(f"{left_out} left out: {reason}")
    if absent:
        here = [group.data for group in wanted.groups if group.data not in absent]
        wanted = table(name, data=here or data, gans=gans, rows=rows)
        runs = [run for run in runs if run.recipe.row.data not in absent]
    options = {"data": data, "gans": gans, "rows": rows, "set": assignments}
    notes = _notes(wanted, num_seeds=num_seeds, budget=budget, options=options, num_images=num_images)

    def write() -> None:
        if distributed.rank() == 0:
            _write(report(wanted, runs, notes=notes), out)

    try:
        failed = run_missing(runs, out, jobs=jobs, num_workers=num_workers, graded=write)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"table {name} stopped; repeat the command to continue") from None
    if distributed.rank() == 0:
        made = report(wanted, runs, notes=notes, failed=failed)
        _write(made, out)
        write_atomically(path, page(made).encode())
    if failed:
        raise ValueError(f"{len(failed)} of the runs failed, {path} shows the others: {'; '.join(failed)}")
    return path


def _write(made: TableReport, out: Path) -> None:
    write_atomically(out / f"{made.table.name}.md", markdown(made).encode())
    write_atomically(out / f"{made.table.name}.csv", table_csv(made).encode())


def _notes(
    wanted: Table, *, num_seeds: int, budget: int | None, options: Mapping[str, Sequence[str]], num_images: int | None
) -> list[str]:
    """The command and the lengths of the runs, as sentences."""
    if budget is None:
        length = (
            "Every row takes its recipe's number of steps: rows with two views or twice the batch see twice as many "
            "images as the plain row, and as many as each other."
        )
    else:
        length = (
            f"Every row sees {budget:,} images while its GAN trains: rows with two views or twice the batch take half "
            "the steps of the plain row, and as many as each other. Pre-training takes its recipe's steps."
        )
    command = [wanted.name, "--seeds", str(num_seeds)]
    command += ["--budget", str(budget)] if budget is not None else []
    command += [word for name, values in options.items() for value in values for word in (f"--{name}", value)]
    command += ["--num-images", str(num_images)] if num_images is not None else []
    return [f"{MADE_WITH} {shlex.join(command)}.", length]


@dataclass(frozen=True)
class GroupPart:
    """The parts of the page about one group beside its numbers. `seed` is that of the samples."""

    results: GroupResults
    names: list[str]
    seed: int
    rows: list[DrawnCaption]
    pretraining: str
    training: str
    differences: list[tuple[str, list[str]]]


def page(made: TableReport) -> str:
    """The whole report as one page that needs no other file."""
    parts = [_part(made, results) for results in made.groups if any(map(made.runs_of, results.scores))]
    sources = {run.recipe.row.data: run.recipe for run in made.runs}
    credited = dict.fromkeys(credit for recipe in sources.values() for credit in recipe.source(SPLIT).credits)
    spent = costs(made)
    return rendered(
        "tables/table.html.jinja",
        report=made,
        notes=[*made.notes, seeds_note(made)],
        parts_of_groups=parts,
        costs=spent,
        memory=any(cost["memory"] for cost in spent),
        credits=list(credited),
        side=2 * max(run.recipe.image_size for run in made.runs),
        title=title,
        ending_title=ending_title,
        overall_note=OVERALL_NOTE,
        overall_text=overall_text,
        value_text=value_text,
        change_text=change_text,
        p_text=p_text,
    )


def _part(made: TableReport, results: GroupResults) -> GroupPart:
    """Samples of the first seed that all rows have, so that they share their captions and noise; curves of all."""
    runs = {name: graded for name in results.scores if (graded := made.runs_of(name))}
    seed = runs[next(iter(runs))][0].seed
    shown = [
        open_run(next((run for run in of_name if run.seed == seed), of_name[0]).folder) for of_name in runs.values()
    ]
    source = shown[0].recipe.source(SPLIT)
    names = [title(name) for name in runs]
    histories: dict[str, list[History]] = {"pretraining": [], "training": []}
    for name, of_name in runs.items():
        number = results.number(name)
        for run in of_name:
            first, second = run.recipe.pretraining, run.recipe.training
            histories["pretraining"].append(History(title(name), number, run.encoders, first.num_views))
            histories["training"].append(History(title(name), number, run.folder, second.num_views))
    return GroupPart(
        results=results,
        names=names,
        seed=seed,
        rows=sample_rows(shown, source, 0, num_captions=NUM_CAPTIONS, num_noises=NUM_NOISES),
        pretraining=svg(panels(histories["pretraining"], PRETRAINING)),
        training=svg(panels(histories["training"], LOSSES)),
        differences=differing_fields([resolved(run.recipe) for run in shown]),
    )
