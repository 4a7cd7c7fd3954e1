"""Whether a run has levelled off: the change over the last third, from its records to the table."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runs import small
from sclgan.experiments.tables import report as reports
from sclgan.experiments.tables.definitions import table
from sclgan.experiments.tables.levelling import change_of_last_third, change_of_run
from sclgan.experiments.tables.runs import plan
from sclgan.experiments.tables.text import markdown


def test_the_change_is_that_of_the_line_through_the_last_third() -> None:
    falling = [(step, 1000.0) for step in range(0, 600, 100)] + [
        (step, 400 - step / 5) for step in (600, 700, 800, 900)
    ]
    assert change_of_last_third(falling) == pytest.approx(-60 / 280)  # from 280 at step 600 to 220 at step 900
    noisy = [(step, 100.0 + (-1) ** (step // 100)) for step in range(100, 1300, 100)]
    assert change_of_last_third(noisy) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("points", [[], [(100, 5.0)], [(100, 5.0), (900, 5.0), (1000, 5.0)]])
def test_too_few_evaluations_say_nothing(points: list[tuple[int, float]]) -> None:
    assert change_of_last_third(points) is None


def evaluated(folder: Path, values: list[float]) -> None:
    """Records of evaluations every 100 steps, beside losses and another protocol."""
    folder.mkdir(parents=True)
    lines = [
        {
            "step": 100 * (number + 1),
            "d/real": 1.0,
            "evaluation/kid_lite2@64": 9.0 - number,
            "evaluation/fd_lite2@64": value,
        }
        for number, value in enumerate(values)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_records_of_a_run_give_the_change_of_its_first_frechet_distance(tmp_path: Path) -> None:
    made = small("ssagan_emoji", "training.evaluate_protocols=kid_lite2,fd_lite2")
    evaluated(tmp_path / "run", [900, 500, 300, 300, 290, 280])
    assert change_of_run(tmp_path / "run", made) == pytest.approx(-20 / 300)
    only_kid = replace(made, training=replace(made.training, evaluate_protocols=("kid_lite2",)))
    assert change_of_run(tmp_path / "run", only_kid) is None


def test_a_table_says_which_runs_have_levelled_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = table("main", data=["emoji"], gans=["ssagan"])
    fields = ["training.evaluate_protocols=fd_lite2", "training.steps=600"]
    runs = plan(wanted, tmp_path, num_seeds=2, assignments=fields)
    for run in runs:
        evaluated(run.folder, [900, 500, 300, 300, 298, 296] if run.seed else [900, 500, 300, 300, 280, 260])
    monkeypatch.setattr(reports.TableReport, "runs_of", lambda self, name: [one for one in runs if one.name == name])
    text = markdown(reports.report(wanted, runs))
    assert "| `ssagan_emoji_scl` | -13.3 %, -1.3 % | 1 of 2 |" in text
    assert "Below 5% a run counts as levelled off" in text
