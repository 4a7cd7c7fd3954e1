"""Both phases as runs: learning, resuming bit for bit, and what goes wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from runs import SCL, SIX_STEPS, assert_identical, final_weights, small, small_fields
from sclgan.recipe_json import to_json
from sclgan.runs import checkpoint
from sclgan.runs.opened import open_run
from sclgan.runs.records import read_metrics
from sclgan.train import pretraining, sample_grid, training
from sclgan.train.objectives import DivergedError, Objectives
from sclgan.train.step import descend
from sclgan.train.stopper import StoppedError


def test_a_run_folder_holds_recipe_records_events_grids_and_checkpoints(trained):
    assert json.loads((trained / "recipe.json").read_text())["name"] == SCL
    records = read_metrics(trained)
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert {"g/adv", "g/contrast", "d/magp", "images_per_second", "pairs/with_partner"} <= records[0].keys()
    assert any("retrieval/image_to_text_r1" in record for record in read_metrics(trained / "pretraining"))
    assert list(trained.glob("events.out.tfevents.*"))
    assert (trained / "grids" / "step_00000006.png").read_bytes().startswith(b"\x89PNG")
    assert len((trained / "grids" / "captions.txt").read_text().splitlines()) == sample_grid.GRID
    assert checkpoint.steps(trained / "checkpoints") == [5, 6]
    assert not list(trained.rglob("*.partial"))


@pytest.mark.parametrize("name", ["attngan_emoji_scl", "dmgan_emoji_scl"])
def test_the_other_gans_train_and_resume_bit_for_bit(trained, tmp_path, name):
    for folder, steps in (("at_once", (3,)), ("resumed", (2, 3))):
        for last in steps:
            made = small(name, f"training.steps={last}")
            training.train(made, tmp_path / folder, encoders=trained)
    assert_identical(final_weights(tmp_path / "resumed"), final_weights(tmp_path / "at_once"))
    record = read_metrics(tmp_path / "resumed")[-1]
    terms = {"d/real_uncond", "d/real_cond", "d/fake_uncond", "d/fake_cond", "d/mismatched"}
    assert terms | {"g/adv", "g/kl", "g/words", "g/sentence", "g/contrast"} <= record.keys()


def test_both_networks_and_the_average_moved_and_the_encoders_did_not(trained):
    last = load_file(trained / "checkpoints" / "step_00000006" / "generator.safetensors")
    before = load_file(trained / "checkpoints" / "step_00000005" / "generator.safetensors")
    averaged = load_file(trained / "checkpoints" / "step_00000006" / "averaged_generator.safetensors")
    assert not torch.equal(last["fc.weight"], before["fc.weight"])
    assert not torch.equal(last["fc.weight"], averaged["fc.weight"])
    assert_identical(
        load_file(trained / "encoders.safetensors"), load_file(trained / "pretraining" / "encoders.safetensors")
    )


def test_a_finished_run_is_not_trained_again_and_can_be_extended(trained, tmp_path):
    weights = final_weights(trained)
    training.train(small(SCL, *SIX_STEPS), trained)
    assert_identical(final_weights(trained), weights)
    training.train(small(SCL, "pretraining.steps=6", "training.steps=3"), tmp_path / "run")
    training.train(small(SCL, *SIX_STEPS), tmp_path / "run")
    assert_identical(final_weights(tmp_path / "run"), weights)


@pytest.mark.parametrize("moment", ["pretraining/checkpoints/step_00000003", "checkpoints/step_00000002"])
def test_killed_in_either_phase_and_repeated_the_weights_are_bit_identical(trained, tmp_path, moment):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "sclgan", "train", SCL, *small_fields(SCL, *SIX_STEPS), "--out", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / moment).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr and process.stderr.read()
    process.communicate()
    assert (folder / moment).exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "continues after step" in done.stderr
    assert_identical(final_weights(folder), final_weights(trained))
    assert [r["step"] for r in read_metrics(folder)] == [1, 2, 3, 4, 5, 6]


def test_encoders_of_an_interrupted_pre_training_are_used_with_a_warning(trained, tmp_path, caplog):
    made, given = small(SCL, "training.steps=1"), tmp_path / "encoders"
    training.train(made, tmp_path / "quiet", encoders=trained / "pretraining")
    assert "not finished" not in caplog.text
    shutil.copytree(trained / "pretraining", given)
    (given / "recipe.json").write_text(to_json(small(SCL, "pretraining.steps=9")))
    training.train(made, tmp_path / "run", encoders=given)
    assert (
        f"the pre-training of {given} is not finished: its encoders are the best of those up to step 6 of 9"
        in caplog.text
    )


def test_a_signal_stops_after_the_step_at_a_checkpoint(tmp_path, monkeypatch):
    made = small(SCL, "training.steps=6", "training.checkpoint_every=100", "training.grid_every=2")
    save = sample_grid.SampleGrid.save
    monkeypatch.setattr(
        sample_grid.SampleGrid, "save", lambda grid, step: (os.kill(os.getpid(), signal.SIGTERM), save(grid, step))[1]
    )
    with pytest.raises(StoppedError, match="stopped after step 2 of 6; repeat the command"):
        training.train(made, tmp_path / "run")
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    training.train(small(SCL, "training.steps=1"), tmp_path / "run")
    weights = final_weights(tmp_path / "run")
    path = tmp_path / "run" / "recipe.json"
    path.write_text(path.read_text().replace('"temperature": 0.1', '"temperature": 1e-45'))
    made = small(SCL, "training.steps=2", "training.temperature=1e-45", "pretraining.temperature=1e-45")
    with pytest.raises(
        DivergedError, match=r"step 2: the loss of the generator is not finite: .*contrast = .*step_00000001"
    ):
        training.train(made, tmp_path / "run")
    assert_identical(final_weights(tmp_path / "run"), weights)


def test_descend_leaves_everything_as_it_was_where_a_term_is_not_finite():
    layer = torch.nn.Linear(2, 1)
    before = layer.weight.clone()
    optimizer = torch.optim.Adam(layer.parameters())
    with pytest.raises(DivergedError, match="loss of the encoders is not finite: a = nan"):
        descend(
            optimizer, {"a": layer.weight.sum() * float("nan")}, {"a": 1.0}, network="encoders", objectives=Objectives()
        )
    assert torch.equal(layer.weight, before)
    with pytest.raises(ValueError, match="without a weight: \\['a'\\]"):
        descend(optimizer, {"a": layer.weight.sum()}, {"b": 1.0}, network="encoders", objectives=Objectives())


def test_another_recipe_does_not_continue_a_run(trained):
    with pytest.raises(ValueError, match=r"holds another run: .*gan\.nf is 2 there, 3 here"):
        training.train(small(SCL, *SIX_STEPS, "gan.nf=3"), trained)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="not empty and is not a run folder"):
        training.train(small(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_contrast_needs_two_views_and_known_terms(tmp_path):
    made = small(SCL)
    with pytest.raises(ValueError, match="set num_views=2"):
        pretraining.pretrain(replace(made, pretraining=replace(made.pretraining, num_views=1)), tmp_path / "a")
    wrong = replace(made.training, generator_objective={"adv": 1.0, "word": 1.0, "sentence": 1.0, "contrast": 1.0})
    with pytest.raises(
        ValueError, match=r"generator_objective names \['adv', 'sentence', 'word'\], but SSAGAN computes"
    ):
        training.train(replace(made, training=wrong), tmp_path / "b")
    wrong = replace(made.training, discriminator_objectives=({"real": 1.0, "fake": 1.0},), every={})
    with pytest.raises(ValueError, match="discriminator_objectives names"):
        training.train(replace(made, training=wrong), tmp_path / "c")


@pytest.mark.parametrize("damage", ["cut", "other", "missing"])
def test_a_wrong_checkpoint_is_one_clear_error(trained, tmp_path, damage):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "checkpoints" / "step_00000006" / "averaged_generator.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "other":
        shutil.copy(path.with_name("discriminator.safetensors"), path)
    else:
        path.unlink()
    expected = {
        "cut": (ValueError, "is not a whole safetensors file"),
        "other": (ValueError, "does not fit the Generator of the recipe: .*missing .*unexpected"),
        "missing": (FileNotFoundError, "has no GAN checkpoint yet"),
    }
    kind, message = expected[damage]
    with pytest.raises(kind, match=message):
        open_run(folder)
