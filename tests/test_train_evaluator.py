"""Evaluation in training: it changes no bit of the training, keeps the best, resumes, and is the same on ranks."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fakes import Squares
from ranks import run_on_ranks
from runs import SCL, assert_identical, final_weights, small
from sclgan.data.sets.emoji import Emoji
from sclgan.evaluation.engine import EvaluationOptions
from sclgan.evaluation.protocols import protocols_named
from sclgan.evaluation.run import evaluate_run
from sclgan.features import cache
from sclgan.metrics.probe import fit
from sclgan.recipe import Recipe
from sclgan.runs import checkpoint
from sclgan.runs.opened import open_run
from sclgan.runs.records import read_metrics
from sclgan.train import evaluator, training
from sclgan.train.evaluator import protocols_of
from sclgan.train.splits import Splits
from sclgan.weights import registry as weights

LABEL = "kid_lite0@12"


def evaluated(steps: int, *assignments: str) -> Recipe:
    """A tiny run that is graded every second step."""
    fields = ("training.evaluate_every=2", "training.evaluate_images=12", "training.evaluate_protocols=kid_lite0")
    return small(SCL, f"training.steps={steps}", *fields, *assignments)


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps with evaluations at 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    training.train(evaluated(6), folder, encoders=trained)
    return folder


def values(folder: Path) -> dict[int, float]:
    key = f"evaluation/{LABEL}"
    return {record["step"]: record[key] for record in read_metrics(folder) if key in record}


def best(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "checkpoints" / "best" / "best.json").read_text())


def test_the_weights_are_those_of_a_run_without_evaluations(run: Path, trained: Path) -> None:
    assert_identical(final_weights(run), final_weights(trained))
    assert list(values(run)) == [2, 4, 6]


def test_the_best_is_kept_and_opened_by_name(run: Path) -> None:
    found = values(run)
    step = min(found, key=lambda s: found[s])
    score = best(run)
    assert (score["step"], score["protocol"], score["better"]) == (step, LABEL, "lower")
    assert score["value"] == pytest.approx(found[step], rel=1e-5)
    assert open_run(run, "best").step == step
    assert open_run(run).step == open_run(run, "last").step == open_run(run, "6").step == 6
    assert not list(run.rglob("*.partial"))
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint '3': it has best, 5, 6"):
        open_run(run, "3")
    with pytest.raises(ValueError, match="no checkpoint has the name 'first': write last, best or a step"):
        open_run(run, "first")
    kept = load_file(run / "checkpoints" / "best" / "averaged_generator.safetensors")
    opened = open_run(run, "best").gan.generator.state_dict()
    assert all(torch.equal(kept[name], opened[name]) for name in kept)


def test_the_value_is_that_of_evaluate(run: Path, tmp_path: Path) -> None:
    (result,) = evaluate_run(
        run, EvaluationOptions(["kid_lite0"], num_images=12, out=tmp_path / "records.jsonl"), checkpoint="best"
    )
    assert result.value == pytest.approx(best(run)["value"], rel=1e-6)
    record = json.loads((tmp_path / "records.jsonl").read_text())
    assert (record["checkpoint"], record["step"]) == ("best", best(run)["step"])


def test_a_run_that_stopped_continues_to_the_same_bits_and_the_same_best(
    run: Path, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for steps in (3, 6):  # the last of three steps is graded as well
        training.train(evaluated(steps), folder, encoders=trained)
    assert_identical(final_weights(folder), final_weights(run))
    found = values(folder)
    assert {step: found[step] for step in (2, 4, 6)} == values(run)
    assert best(folder)["value"] == pytest.approx(min(found.values()), rel=1e-5)


def test_a_value_of_another_protocol_is_no_comparison(run: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    training.train(evaluated(7, "training.evaluate_images=14"), folder, encoders=trained)
    assert (best(folder)["step"], best(folder)["protocol"]) == (7, "kid_lite0@14")


def trained_on_ranks(folder: Path, encoders: Path) -> dict[int, float]:
    training.train(evaluated(2), folder, encoders=encoders)
    return values(folder)


def test_ranks_grade_together(run: Path, trained: Path, tmp_path: Path) -> None:
    first, second = run_on_ranks(trained_on_ranks, 2, tmp_path / "run", trained)
    assert first == second
    assert first[2] == pytest.approx(values(run)[2], rel=5e-3)  # the weights agree to rounding
    assert best(tmp_path / "run")["step"] == 2


def test_without_the_weights_there_is_one_line_and_no_evaluation(
    trained: Path, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "found", lambda key: None)
    with caplog.at_level("INFO"):
        training.train(evaluated(2, "training.evaluate_protocols=fid,kid_lite0"), tmp_path / "run", encoders=trained)
    said = [line for line in caplog.text.splitlines() if "no evaluation in training" in line]
    assert len(said) == 1
    assert "fid: pt_inception-2015-12-05-6726825d.pth is missing" in said[0]
    assert not values(tmp_path / "run")
    assert checkpoint.best_score(tmp_path / "run" / "checkpoints") is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("training.evaluate_protocols=kid_lit0", "did you mean 'kid_lite0'"),
        ("training.evaluate_images=1", "evaluate_images must be at least 2"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_trained(
    field: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=expected):
        training.train(evaluated(2, field), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Means:
    """An extractor of colours in a four by four grid."""

    name: str = "lite2@128"
    weights_sha256: str = "0" * 64
    num_features: int = 48

    def __init__(self, *, device: torch.device) -> None:
        del device

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 4).flatten(1)


def test_the_classifier_is_fitted_once_for_all_evaluations(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCLGAN_CACHE", str(tmp_path / "cache"))
    fits: list[tuple[int, ...]] = []
    monkeypatch.setattr(cache, "fit", lambda *rows: fits.append(tuple(rows[0].shape)) or fit(*rows, tolerance=1e-3))
    monkeypatch.setattr(evaluator, "EXTRACTORS", {"lite2@128": Means})
    opened = open_run(run)
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    names = ["class_accuracy", "class_accuracy_top5"]
    hook = evaluator.Evaluator(replace(opened, folder=folder), protocols_named(names), Splits(opened.recipe))
    first, second = hook(2), hook(4)
    assert first == second
    assert list(first) == [f"evaluation/{name}@12" for name in names]
    assert fits == [(len(Emoji("train")), 48)]
    unlabelled = replace(opened, recipe=replace(opened.recipe, source=partial(Squares, labelled=False)))
    with pytest.raises(ValueError, match=r"evaluate_protocols: class_accuracy, class_accuracy_top5 needs labels"):
        evaluator.Evaluator(unlabelled, protocols_named(names), Splits(unlabelled.recipe))


def test_no_cadence_is_no_evaluation() -> None:
    assert protocols_of(evaluated(2, "training.evaluate_every=0").training) == []
