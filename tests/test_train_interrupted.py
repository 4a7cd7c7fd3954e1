"""Trainings that stop, diverge, lose their folder, or go on with other data or as an older version left them."""

import json
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from webdataset.gopen import Pipe

import photos_on_disk
from runs import SCL, SIX_STEPS, assert_identical, final_weights, small
from sclgan.data.packs.read import Packed
from sclgan.data.packs.write import pack
from sclgan.data.sets.emoji import Emoji
from sclgan.data.sets.own.source import Folder
from sclgan.recipe import Recipe
from sclgan.recipe_json import MOVED
from sclgan.runs import checkpoint
from sclgan.runs.encoders import read_header
from sclgan.runs.folder import saved_recipe
from sclgan.runs.opened import open_run
from sclgan.train import loop
from sclgan.train.gan_phase import GANPhase
from sclgan.train.objectives import DivergedError
from sclgan.train.pretraining import Score, pretrain
from sclgan.train.sample_grid import SampleGrid
from sclgan.train.stopper import StoppedError
from sclgan.train.training import train
from test_data_packs_write import Few

RATE = "training.generator_learning_rate"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run of six steps, to continue."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def after(action: Callable[[Any, int], object], kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls `action` with the object and the step after each call of a method that takes the step last."""
    method = getattr(kind, name)

    def both(self: Any, *arguments: Any) -> Any:
        result = method(self, *arguments)
        action(self, arguments[-1])
        return result

    monkeypatch.setattr(kind, name, both)


# Signals


def test_a_signal_in_the_last_step_of_pre_training_stops_before_the_gan(tmp_path, monkeypatch):
    made, run = small(SCL, "pretraining.steps=1", "training.steps=1"), tmp_path / "run"
    with monkeypatch.context() as patched:
        after(lambda _, step: step == 1 and os.kill(os.getpid(), signal.SIGTERM), Score, "__call__", patched)
        with pytest.raises(StoppedError, match="pre-training ssagan_emoji_scl is complete; repeat the command to cont"):
            train(made, run)
    assert checkpoint.steps(run / "pretraining" / "checkpoints") == [1]
    assert not (run / "checkpoints").exists()
    train(made, run)
    assert checkpoint.steps(run / "checkpoints") == [1]


def test_a_signal_while_a_batch_is_awaited_saves_the_steps_before_and_continues_with_the_same_bits(
    trained, copied, monkeypatch
):
    shutil.rmtree(copied / "checkpoints")
    loader = loop._loader

    def stuck(*arguments: Any) -> Iterator[Any]:
        yield from islice(loader(*arguments), 2)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(loop, "_loader", stuck)
        with pytest.raises(StoppedError, match="training ssagan_emoji_scl stopped after step 2 of 6; repeat the"):
            train(small(SCL, *SIX_STEPS, "training.checkpoint_every=0"), copied)
    assert checkpoint.steps(copied / "checkpoints") == [2]
    train(small(SCL, *SIX_STEPS), copied)
    assert_identical(final_weights(copied), final_weights(trained))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stream_that_blocks_does_not_hold_a_signal(num_workers, tmp_path, caplog, monkeypatch):
    process, read = os.getpid(), Pipe.read

    def signalled(pipe: Any, *arguments: Any) -> Any:
        os.kill(process, signal.SIGTERM)
        return read(pipe, *arguments)

    monkeypatch.setattr(Pipe, "read", signalled)
    pack([Few(Emoji("train"), 60), Few(Emoji("test"), 20)], tmp_path / "pack", size=64)
    made = replace(small(SCL), source=partial(Packed, root=str(tmp_path / "pack")))
    command = "pipe:exec sleep 600"
    with pytest.raises(StoppedError, match="pre-training ssagan_emoji_scl stopped after step 0 of 2"):
        pretrain(made, tmp_path / "run", stream=command, num_workers=num_workers)
    assert "the next batch is not waited for" in caplog.text
    assert "left out" not in caplog.text
    for folder in Path("/proc").glob("[0-9]*") if num_workers == 0 else ():
        with suppress(OSError):  # the command is ended too
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            assert parent != process or b"sleep" not in (folder / "cmdline").read_bytes()


# Divergence


def break_generator(phase: GANPhase, step: int) -> None:
    """What a step leaves that overflowed: a running statistic that is infinite, while all losses are finite."""
    if step == 8:
        buffers = dict(phase.averaged.average.named_buffers())
        next(x for name, x in buffers.items() if name.endswith("running_var")).fill_(float("inf"))


def test_weights_that_are_not_finite_are_not_saved_and_a_lower_rate_continues(copied, monkeypatch, caplog):
    steps = [*SIX_STEPS[:1], "training.steps=9"]
    with monkeypatch.context() as patched:
        after(break_generator, GANPhase, "step", patched)
        expected = r"step 8: weights of the averaged generator are not finite: .*running_var.*step_00000007; lower the"
        with pytest.raises(DivergedError, match=expected):
            train(small(SCL, *steps), copied)
    assert checkpoint.steps(copied / "checkpoints") == [6, 7]
    assert json.loads((copied / "diverged.json").read_text())["step"] == 8

    with pytest.raises(ValueError, match=r"holds another run: training\.temperature is 0\.1 there, 0\.2 here\. Give"):
        train(small(SCL, *steps, f"{RATE}=5e-5", "training.temperature=0.2"), copied)
    with caplog.at_level(logging.INFO):
        train(small(SCL, *steps, f"{RATE}=5e-5"), copied)
    assert f"{RATE} is 5e-05 from step 7 on, after 0.0005" in caplog.text
    assert not (copied / "diverged.json").exists()
    state = torch.load(copied / "checkpoints" / "step_00000009" / "state.pt", weights_only=True)
    assert state["optimizers"]["generator"]["param_groups"][0]["lr"] == 5e-5
    (change,) = map(json.loads, (copied / "changes.jsonl").read_text().splitlines())
    assert (change["step"], change["field"], change["before"], change["now"]) == (7, RATE, 0.0005, 5e-5)
    with pytest.raises(ValueError, match="or the same learning rates: they may change only after a run has diverged"):
        train(small(SCL, *steps, f"{RATE}=1e-5"), copied)


def break_text_encoder(score: Score, step: int) -> None:
    """What the first scoring leaves: an encoder whose next loss is NaN."""
    if step == 0:
        score.encoders.text_parameters()[0].data.fill_(float("nan"))


def test_a_pre_training_that_diverges_within_train_continues_at_a_lower_rate(tmp_path, monkeypatch):
    fields, run = ("pretraining.steps=1", "training.steps=1"), tmp_path / "run"
    with monkeypatch.context() as patched:
        after(break_text_encoder, Score, "__call__", patched)
        with pytest.raises(DivergedError, match=r"step 1: the loss of the encoders is not finite: .*none yet"):
            train(small(SCL, *fields), run)
    train(small(SCL, *fields, "pretraining.learning_rate=0.001"), run)
    assert saved_recipe(run).pretraining.learning_rate == saved_recipe(run / "pretraining").pretraining.learning_rate
    assert saved_recipe(run).pretraining.learning_rate == 0.001
    assert open_run(run, images=False).step == 1


# The folder


def test_a_folder_that_is_removed_during_training_is_not_half_rebuilt(copied, monkeypatch):
    after(lambda grid, step: shutil.rmtree(grid.folder.parent), SampleGrid, "save", monkeypatch)
    with pytest.raises(FileNotFoundError, match="run was removed or moved while the run was going on"):
        train(small(SCL, SIX_STEPS[0], "training.steps=9", "training.grid_every=1"), copied)
    assert not (copied / "checkpoints").exists()
    assert not (copied / "recipe.json").exists()


def test_each_split_is_opened_once(tmp_path, monkeypatch):
    opened: list[str] = []
    build = Emoji.__init__
    monkeypatch.setattr(Emoji, "__init__", lambda self, split: (opened.append(split), build(self, split))[1])
    fields = {"every": "2", "images": "4", "protocols": "background_accuracy"}
    evaluated = [f"training.evaluate_{name}={value}" for name, value in fields.items()]
    train(small(SCL, "pretraining.steps=1", "training.steps=1", *evaluated), tmp_path / "run")
    assert sorted(opened) == ["test", "train", "unseen"]


# Data


def on_own_pictures(name: str, root: Path, *fields: str) -> Recipe:
    made = small(name, "image_size=64", "pretraining.batch_size=4", "training.batch_size=4", *fields)
    return replace(made, source=partial(Folder, root=str(root)))


def add_pictures(root: Path, label: str, words: str) -> None:
    lines = (root / "metadata.jsonl").read_text()
    for number in range(3):
        photos_on_disk.photograph(root / "more" / f"{label}{number}.jpg", 80, 72, seed=number)
        row = {"file_name": f"more/{label}{number}.jpg", "captions": [words], "label": label}
        lines += json.dumps(row) + "\n"
    (root / "metadata.jsonl").write_text(lines)


def test_a_run_does_not_go_on_with_other_data_unless_it_is_told_to(tmp_path, caplog):
    root, run = photos_on_disk.own_pictures(tmp_path / "own"), tmp_path / "run"
    train(on_own_pictures("ssagan_emoji_scl", root, "training.steps=1"), run)
    more = on_own_pictures("ssagan_emoji_scl", root, "training.steps=2")
    add_pictures(root, "aardvark", "a red aardvark on the beach")
    expected = (
        r"the data of .*run have changed since the run began: new labels: 'aardvark'; pictures of train: \d+ then, \d+ "
        r"now; captions of train: \d+ then, \d+ now\. Give another --out, or go on .*: --accept-changed-data"
    )
    with pytest.raises(ValueError, match=expected):
        train(more, run)
    assert checkpoint.steps(run / "checkpoints") == [1]
    with caplog.at_level(logging.INFO):
        train(more, run, accept_changed_data=True)
    assert "have changed since the run began: new labels: 'aardvark'" in caplog.text
    assert [line for line in caplog.messages if "the text encoder" in line and "aardvark" in line]
    changed = [json.loads(line)["field"] for line in (run / "changes.jsonl").read_text().splitlines()]
    assert "data.label_names" in changed
    train(more, run)  # with the data as they are now


def test_a_changed_caption_is_noticed_and_data_that_were_never_recorded_are_recorded(tmp_path, caplog):
    root, run = photos_on_disk.own_pictures(tmp_path / "own"), tmp_path / "run"
    made = on_own_pictures("ssagan_emoji", root, "training.steps=1")
    train(made, run)
    table = root / "metadata.jsonl"
    table.write_text(table.read_text().replace("on the beach", "on the sand"))
    with pytest.raises(ValueError, match=r"captions of (train|test): as many, but not the same"):
        train(made, run)
    (run / "data.json").unlink()
    with caplog.at_level(logging.INFO):
        train(made, run)
    assert "was begun by a version of sclgan that did not record its data" in caplog.text
    assert json.loads((run / "data.json").read_text())["label_names"] == ["boat", "kite", "lamp"]


def test_networks_that_number_labels_do_not_go_on_with_others_and_are_not_given_to_other_data(tmp_path):
    root, run = photos_on_disk.own_pictures(tmp_path / "own"), tmp_path / "run"
    train(on_own_pictures("ssagan_emoji_ce", root, "training.steps=1"), run)
    assert read_header(run).label_names == ["boat", "kite", "lamp"]
    more = on_own_pictures("ssagan_emoji_ce", root, "training.steps=2")
    table = root / "metadata.jsonl"
    table.write_text(table.read_text().replace('"label": "kite"', '"label": "zebra"'))
    for accept in (False, True):
        with pytest.raises(ValueError, match=r"new labels: 'zebra'; labels that are gone: 'kite'.*number the earlier"):
            train(more, run, accept_changed_data=accept)
    with pytest.raises(ValueError, match=r"the encoders in .* tell apart the labels of other data \(new labels"):
        train(more, tmp_path / "other", encoders=run)


# Older runs


def test_a_run_of_an_older_version_opens_samples_and_continues_to_the_same_bits(copied, trained, tmp_path):
    """It names classes where they were, records no data, and its encoders say nothing about themselves."""
    for folder in (copied, copied / "pretraining"):
        (folder / "data.json").unlink()
        path = folder / "recipe.json"
        content = json.loads(path.read_text())
        content.pop("row")
        text = json.dumps(content)
        for before, now in MOVED.items():
            text = text.replace(f'"{now}.', f'"{before}.')
        assert "sclgan.data.emoji.Emoji" in text
        path.write_text(text)
        save_file(load_file(folder / "encoders.safetensors"), folder / "encoders.safetensors")
        assert read_header(folder).source is None
    captions = ["a red apple on a white background"]
    old, new = (open_run(folder).sample(captions, num_images=2, seed=0) for folder in (copied, trained))
    assert torch.equal(old, new)
    shutil.copytree(trained, tmp_path / "new")
    for folder in (copied, tmp_path / "new"):
        train(small(SCL, SIX_STEPS[0], "training.steps=7"), folder)
    assert_identical(final_weights(copied), final_weights(tmp_path / "new"))
    pretrain(small(SCL, "pretraining.steps=7"), copied / "pretraining")
    assert checkpoint.steps(copied / "pretraining" / "checkpoints")[-1] == 7
