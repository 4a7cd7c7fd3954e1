"""Tables: their rows, what assignments and budgets mean, statistics in the files; one killed and continued."""

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runs import small_fields
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.experiments.tables import page as table_page
from sclgan.experiments.tables import runs as table_runs
from sclgan.experiments.tables.definitions import KINDS, KNOWN, ROW_OF, assignments_for, resolve, table
from sclgan.experiments.tables.page import make_table
from sclgan.experiments.tables.report import Score, report
from sclgan.experiments.tables.runs import TableRun, plan
from sclgan.experiments.tables.text import markdown, table_csv, value_text
from sclgan.recipe_json import to_json

ROWS = ("ssagan_emoji", "ssagan_emoji_2x", "ssagan_emoji_scl")
SMALL = small_fields("ssagan_emoji", "pretraining.batch_size=6", "training.batch_size=2")
MAIN: dict[str, Any] = {"data": ("emoji",), "gans": ("ssagan",)}


# Rows


def test_the_main_table_has_each_gan_on_each_data_set_plain_doubled_and_with_the_method():
    made = table("main")
    assert {(group.gan, group.data) for group in made.groups} == {(row.gan, row.data) for row in ROW_OF.values()}
    assert [group.names for group in table("main", **MAIN).groups] == [ROWS]
    [few] = table("ablation", rows=["scl-temperature0.2"], **MAIN).groups
    assert few.names == ("ssagan_emoji", "ssagan_emoji_scl", "ssagan_emoji_scl-temperature0.2")
    assert table("labels", **MAIN).groups[0].names[0] == "ssagan_emoji"
    assert table("labels", **MAIN).groups[0].names[-1] == "ssagan_emoji_scl"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "mian"}, "did you mean 'main'?"),
        ({"name": "main", "data": ["emojy"]}, "has no data set 'emojy': did you mean 'emoji'?"),
        ({"name": "main", "gans": ["sagan"]}, "has no GAN 'sagan': did you mean 'ssagan'?"),
        (
            {"name": "ablation", "rows": ["temperature0.2"]},
            "has no row 'temperature0.2': did you mean 'scl-temperature0.2'?",
        ),
    ],
)
def test_what_no_table_has_is_refused(arguments, expected):
    with pytest.raises(ValueError, match=expected.replace("?", r"\?")):
        table(**arguments)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"assignments": ["gan.fn=3"]}, "did you mean 'nf'"),
        ({"assignments": ["ssagan:gan.fn=3"]}, "did you mean 'nf'"),
        ({"assignments": ["sagan:gan.nf=3"]}, "no GAN or data set 'sagan': did you mean 'ssagan'"),
        ({"assignments": ["training.steps"]}, "write field=value"),
        ({"assignments": ["training.steps=many"]}, "takes int"),
        ({"assignments": ["gan.nf=0"]}, "gan.nf must be at least 1, not 0"),
        ({"budget": 3}, "less than one step"),
        ({"num_seeds": 0}, "--seeds must be at least 1"),
    ],
)
def test_what_no_row_can_be_is_refused_before_anything_is_run(options, expected, tmp_path):
    with pytest.raises(ValueError, match=expected):
        make_table("main", tmp_path / "out", **MAIN, **{"num_seeds": 1, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_budget_gives_every_row_as_many_images():
    made = {name: resolve(name, seed=2, budget=9600, assignments=["training.batch_size=6"]) for name in ROWS}
    steps = {name: recipe.training.steps for name, recipe in made.items()}
    assert steps == {ROWS[0]: 1600, ROWS[1]: 800, ROWS[2]: 800}
    assert {recipe.training.num_views * recipe.training.batch_size * steps[name] for name, recipe in made.items()} == {
        9600
    }
    assert {recipe.seed for recipe in made.values()} == {2}
    assert resolve(ROWS[0], seed=0).training.steps == KNOWN[ROWS[0]]().training.steps


def test_assignments_leave_what_makes_a_row():
    def meant(name: str, *assignments: str) -> list[str]:
        return assignments_for(name, assignments)

    assert meant("ssagan_emoji_2x", "training.batch_size=6") == ["training.batch_size=12"]
    assert meant("ssagan_emoji_scl", "training.batch_size=6") == ["training.batch_size=6"]
    assert meant("ssagan_emoji_scl", "training.num_views=1", "gan.nf=8") == ["gan.nf=8"]
    assert meant("ssagan_emoji", "training.generator_objective.contrast=1") == []
    assert meant("ssagan_emoji_scl", "training.generator_objective.contrast=1") != []
    assert meant("attngan_emoji", "gan.nf=8", "gan.ngf=8") == ["gan.ngf=8"]


def test_assignments_may_concern_one_gan_or_data_set():
    given = ["ssagan:gan.nf=8", "galip:gan.nf=16", "scenes:max_words=9", "seed=1"]
    assert assignments_for("ssagan_emoji_scl", given) == ["gan.nf=8", "seed=1"]
    assert assignments_for("galip_scenes", given) == ["gan.nf=16", "max_words=9", "seed=1"]
    assert assignments_for("attngan_emoji_2x", given) == ["seed=1"]


def test_rows_share_encoders_where_pre_training_and_seed_agree(tmp_path):
    runs = plan(table("main", data=["emoji"], gans=["attngan", "ssagan"]), tmp_path, num_seeds=2)
    encoders = {(run.name, run.seed): run.encoders for run in runs}
    for variant in ("", "_2x", "_scl"):
        assert encoders[f"attngan_emoji{variant}", 1] == encoders[f"ssagan_emoji{variant}", 1]
    assert len(set(encoders.values())) == 3 * 2
    again = plan(table("main", **MAIN), tmp_path, num_seeds=1, assignments=["pretraining.checkpoint_every=7"])
    assert {run.encoders for run in again} <= set(encoders.values())
    wider = plan(table("main", **MAIN), tmp_path, num_seeds=1, assignments=["encoders.code_size=64"])
    assert not {run.encoders for run in wider} & set(encoders.values())


# Numbers


def pretend(run: TableRun, values: Mapping[str, float], **changes: object) -> None:
    """Leaves what a finished run with these results leaves, as far as a report reads it."""
    steps = run.recipe.training.steps
    (run.folder / "checkpoints" / f"step_{steps:08d}").mkdir(parents=True)
    (run.folder / "recipe.json").write_text(to_json(run.recipe))
    (run.folder / "metrics.jsonl").write_text(json.dumps({"step": steps, "images": 10, "seconds": 7.2 + run.seed}))
    fixed = {"step": steps, "checkpoint": "last", "floor": 0.5, "extractor": None, "num_samples": 9}
    lines = [
        json.dumps(
            {"label": label, "value": value, "better": "lower" if label == "fd" else "higher", **fixed, **changes}
        )
        for label, value in values.items()
    ]
    (run.folder / "evaluations.jsonl").write_text("\n".join(lines))


@pytest.fixture
def pretended(tmp_path) -> list[TableRun]:
    """The main table over three seeds with known numbers; the second row has only two of them."""
    runs = plan(table("main", **MAIN), tmp_path, num_seeds=3)
    numbers: dict[str, list[dict[str, float] | None]] = {
        ROWS[0]: [{"fd": 10.0, "is": 1.0}, {"fd": 20.0, "is": 2.0}, {"fd": 30.0, "is": 3.0}],
        ROWS[1]: [{"fd": 9.0}, {"fd": 19.5}, None],
        ROWS[2]: [{"fd": 5.0, "is": 2.0}, {"fd": 15.0, "is": 4.0}, {"fd": 25.1, "is": 3.0}],
    }
    for run in runs:
        if (values := numbers[run.name][run.seed]) is not None:
            pretend(run, values)
    return runs


def test_the_files_say_mean_interval_change_and_test(pretended):
    made = report(table("main", **MAIN), pretended, notes=["A note."])
    rows = {(row["recipe"], row["protocol"]): row for row in csv.DictReader(io.StringIO(table_csv(made)))}
    fd, inception = rows[ROWS[2], "fd"], rows[ROWS[2], "is"]
    assert float(inception["mean"]) == 3
    half = 4.302653 / math.sqrt(3)  # t of 2 degrees, deviation 1
    assert [float(inception[end]) for end in ("low", "high")] == pytest.approx([3 - half, 3 + half], rel=1e-6)
    assert [float(inception[f"seed{seed}"]) for seed in range(3)] == [2, 4, 3]
    assert float(inception["change_against_plain"]) == pytest.approx(0.5)
    assert float(inception["p_against_plain"]) == pytest.approx(1 - math.sqrt(3 / 5))
    # differences -5, -5, -4.9: t = 4.9667 / (0.057735 / sqrt 3) = 149
    assert float(fd["p_against_plain"]) == pytest.approx(1 - 149 / math.sqrt(149**2 + 2), rel=1e-3)
    # with the second row over the two seeds that both have: (5 + 15) / (9 + 19.5), and no test
    assert float(fd["change_against_twice_the_batch"]) == pytest.approx(20 / 28.5 - 1)
    assert fd["p_against_twice_the_batch"] == ""
    assert rows[ROWS[1], "fd"]["seed2"] == ""
    text = markdown(made)
    assert "- A note." in text
    assert "| SSA-GAN | plain | 20 ± 25 | 2 ± 2.5 |" in text
    assert "| SSA-GAN | twice the batch | 14.25 ± 67 (-5.0 %) | not yet |" in text
    assert value_text(Score({0: 500.0, 1: 530.0}, {}, "lower")) == "515 ± 190"
    assert "| SSA-GAN | with the contrast | 15.03 ± 25 (-24.8 %)* | 3 ± 2.5 (+50.0 %) |" in text
    assert "| `is` | with the contrast | 3 | 0.5159 to 5.484 | 2, 4, 3 | +50.0 % | 0.23 |" in text
    assert "| -29.8 % | too few seeds |" in text
    assert "| `ssagan_emoji_scl` |  |  | 10 | 8 |" in text
    assert "Published" not in text  # the literature has no emoji


def test_all_gans_of_a_data_set_are_compared_together_seed_by_seed(tmp_path):
    wanted = table("main", data=["emoji"], gans=["attngan", "ssagan"])
    runs = plan(wanted, tmp_path, num_seeds=3)
    factors = {"attngan": [0.5, 0.5, 0.5], "ssagan": [0.5, 0.125, 0.5]}  # of the method, against plain
    for run in runs:
        gan, variant = run.recipe.row.gan, run.recipe.row.variant
        base = 100.0 if gan == "attngan" else 10.0 + run.seed
        if variant != "2x":
            factor = factors[gan][run.seed] if variant else 1.0
            pretend(run, {"fd": base * factor, "kid": -1.0, **({"is": 2.0} if gan == "ssagan" else {})})
    made = report(wanted, runs)
    [overall] = made.overall("emoji")
    assert (overall.ending, overall.than, list(overall.comparisons)) == ("scl", "", ["fd"])  # kid < 0, is of one GAN
    found = overall.comparisons["fd"]
    logs = [-1, -2, -1]  # to base 2, the mean of both GANs in each seed
    assert found.change == pytest.approx(2 ** (sum(logs) / 3) - 1)
    t = 4 / 3 / (math.sqrt(1 / 3) / math.sqrt(3))
    assert found.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert found.verdict("lower") == ""
    assert f"| with the contrast | plain | -60.3 % (p {found.p:.2g}) |" in markdown(made)
    assert report(table("main", **MAIN), runs).overall("emoji") == []


def test_the_recall_of_pre_trained_encoders_stands_beside_the_protocols(tmp_path, monkeypatch):
    runs = plan(table("main", **MAIN), tmp_path, num_seeds=1)
    for run, recalls in zip(runs, ([0.1, 0.4, 0.2], [0.3], [0.5]), strict=True):
        if run.name != ROWS[2]:  # its GAN is still to be trained
            pretend(run, {"fd": 1.0})
        run.encoders.mkdir(parents=True)
        records = [{"step": step, "retrieval/mean": recall} for step, recall in enumerate(recalls)]
        (run.encoders / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    monkeypatch.setattr(TableRun, "is_pretrained", lambda run: run.name != ROWS[1])
    made = report(table("main", **MAIN), runs)
    rows = [(row["recipe"], float(row["mean"])) for row in csv.DictReader(io.StringIO(table_csv(made)))]
    assert rows == [(ROWS[0], 1.0), (ROWS[0], 0.4), (ROWS[1], 1.0), (ROWS[2], 0.5)]
    assert "| with the contrast | not yet | 0.5 (+25.0 %) |" in markdown(made)


def test_better_and_worse_follow_the_direction_of_the_protocol(pretended):
    scores = report(table("main", **MAIN), pretended).groups[0].scores[ROWS[2]]
    assert scores["fd"].verdict("") == "better"  # lower is better
    assert scores["is"].verdict("") == ""
    assert scores["fd"].verdict("2x") == ""


@pytest.mark.parametrize("change", [{"step": 1}, {"checkpoint": "best"}, {"label": "fd@9"}])
def test_other_steps_checkpoints_and_numbers_of_images_are_not_mixed_in(change, tmp_path):
    run = plan(table("main", **MAIN), tmp_path, num_seeds=1)[0]
    pretend(run, {"fd": 1.0}, **change)
    assert run.evaluations() == {}


def test_published_numbers_stand_apart_with_source_and_protocol():
    made = report(table("main", data=["cub"], gans=["ssagan"]), [])
    text = markdown(made)
    assert "| cub | SSA-GAN | FID, TensorFlow's Inception: `fid` | 15.61 | SSA-GAN's README |" in text
    assert "| coco |" not in text
    assert text.index("## Published") > text.index("## cub")


# A real one


KILLED = """
import os, signal, sys
from functools import partial
from pathlib import Path
import torch
torch.set_num_threads(1)
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.experiments.tables import runs
from sclgan.experiments.tables.page import make_table
from sclgan.train import sample_grid

runs.EvaluationOptions = partial(EvaluationOptions, ("background_accuracy",))
save = sample_grid.SampleGrid.save

def save_or_die(grid, step):
    if "scl_seed0" in str(grid.folder):
        os.kill(os.getpid(), signal.SIGKILL)
    return save(grid, step)

sample_grid.SampleGrid.save = save_or_die
make_table("main", Path(sys.argv[1]), num_seeds=2, data=("emoji",), gans=("ssagan",), num_images=10,
           assignments=sys.argv[2:])
"""


def written(out: Path) -> dict[Path, int]:
    """When each file of weights and each record was written."""
    kept = [*out.rglob("*.safetensors"), *out.rglob("evaluations.jsonl")]
    return {path: path.stat().st_mtime_ns for path in kept}


def test_a_table_that_was_killed_continues_and_what_is_done_is_left_alone(tmp_path, monkeypatch, caplog):
    out = tmp_path / "out"
    fields: Sequence[str] = [*SMALL, "training.grid_every=1"]
    monkeypatch.setattr(table_runs, "EvaluationOptions", partial(EvaluationOptions, ("background_accuracy",)))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(out), *fields], capture_output=True, check=False)
    assert ended.returncode == -9, ended.stderr
    before = written(out)
    assert len(list(out.glob("*/*/encoders.safetensors"))) == 6 + 3  # pre-trained, and copied into runs
    assert sum(path.name == "evaluations.jsonl" for path in before) == 2  # plain and twice the batch, the first seed
    assert "| with the contrast | not yet |" in (out / "main.md").read_text()

    options: dict[str, Any] = {"num_seeds": 2, **MAIN, "assignments": fields, "num_images": 10}
    with caplog.at_level("INFO"):
        page = make_table("main", out, **options)
    assert "[1/4] ssagan_emoji_scl, seed 0: done" in caplog.messages
    after = written(out)
    assert {path: after[path] for path in before} == before
    assert len(list((out / "encoders").iterdir())) == 6
    assert sorted(path.name for path in (out / "runs").iterdir()) == sorted(
        f"{n}_seed{s}" for n in ROWS for s in (0, 1)
    )
    shown = page.read_text()
    for word in (
        "<h1>With and without the method</h1>",
        "Measured on ",
        "SSA-GAN on emoji",
        "background_accuracy@10",
        "too few seeds",
        "Cost",
    ):
        assert word in shown
    assert shown.count("<svg") == 2
    assert shown.count("<img") == table_page.NUM_CAPTIONS * (1 + 3 * table_page.NUM_NOISES)
    assert 'src="http' not in shown
    assert "<td>training.num_views" not in shown
    assert "<code>training.num_views</code>" in shown

    monkeypatch.setattr(table_runs, "evaluate_run", lambda *_, **__: pytest.fail("graded again"))
    monkeypatch.setattr(table_runs, "train", lambda *_, **__: pytest.fail("trained again"))
    assert make_table("main", out, **options).read_text() == shown
    assert written(out) == after


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    def diverge(recipe, folder, **_):
        if recipe.name == ROWS[1]:
            raise FloatingPointError("a loss is not finite")
        run = next(run for run in runs if run.folder == folder)
        pretend(run, {"fd": 1.0})

    runs = plan(table("main", **MAIN), tmp_path, num_seeds=1)
    monkeypatch.setattr(TableRun, "is_pretrained", lambda _: True)
    monkeypatch.setattr(table_runs, "train", diverge)
    monkeypatch.setattr(table_runs, "evaluate_run", lambda *_, **__: None)
    monkeypatch.setattr(table_page, "page", markdown)
    with pytest.raises(ValueError, match=r"1 of the runs failed, .*: ssagan_emoji_2x, seed 0"):
        make_table("main", tmp_path, num_seeds=1, **MAIN)
    text = (tmp_path / "main.md").read_text()
    assert "- failed: ssagan_emoji_2x, seed 0: a loss is not finite" in text
    assert "| SSA-GAN | with the contrast | 1 (+0.0 %) |" in text


def test_data_whose_files_are_not_here_are_left_out_or_refused_by_name(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(table_page, "run_missing", lambda runs, *_, **__: {run.name: "" for run in runs})
    monkeypatch.setattr(table_page, "page", markdown)
    with caplog.at_level("INFO"), pytest.raises(ValueError, match="runs failed"):
        make_table("main", tmp_path / "a", num_seeds=1, gans=["ssagan"])
    assert any(message.startswith("cub left out: ") for message in caplog.messages)
    assert "## cub" not in (tmp_path / "a" / "main.md").read_text()
    with pytest.raises(FileNotFoundError, match="table main cannot be made on cub: "):
        make_table("main", tmp_path / "b", num_seeds=1, data=["cub"])


def test_the_kinds_compare_with_rows_that_they_have():
    for kind in KINDS.values():
        assert set(kind.compared_with) <= set(kind.endings)
