"""`sclgan pretrain` and `sclgan train`: encoders that are passed on, signals, full disks."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from command_line import PLAIN, done, refused, sclgan
from runs import small_fields
from sclgan.runs import checkpoint
from sclgan.runs.opened import open_run
from sclgan.train import sample_grid, training


def test_encoders_from_pretrain_are_used_unchanged_by_train(plain):
    used = (plain / "encoders.safetensors").read_bytes()
    assert used == (plain.parent / "encoders" / "encoders.safetensors").read_bytes()
    assert not (plain / "pretraining").exists()
    assert checkpoint.steps(plain / "checkpoints") == [1, 2]


def test_encoders_that_are_not_there_or_do_not_fit_are_named(plain, tmp_path):
    fields = small_fields(PLAIN)
    said = refused("train", PLAIN, *fields, "--out", tmp_path / "a", "--encoders", tmp_path / "none")
    assert "none has no vocabulary.json" in said
    wider = small_fields(PLAIN, "encoders.code_size=18")
    said = refused("train", PLAIN, *wider, "--out", tmp_path / "b", "--encoders", plain)
    assert "encoders.safetensors does not fit the DAMSM of the recipe" in said


def test_stopped_between_the_two_files_of_the_encoders_a_run_continues(plain, tmp_path):
    folder = tmp_path / "run"
    command = ("train", PLAIN, *small_fields(PLAIN), "--out", folder, "--encoders", plain.parent / "encoders")
    with patch.object(training, "load_encoders", side_effect=KeyboardInterrupt):
        assert sclgan(*command).code == 130
    shutil.copy(plain / "vocabulary.json", folder)
    done(*command)
    assert (folder / "encoders.safetensors").read_bytes() == (plain / "encoders.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_training_says_how_to_continue_and_exits_with_130(number, plain, tmp_path, monkeypatch):
    save = sample_grid.SampleGrid.save
    monkeypatch.setattr(
        sample_grid.SampleGrid, "save", lambda grid, step: (os.kill(os.getpid(), number), save(grid, step))[1]
    )
    fields = small_fields(PLAIN, "training.steps=9", "training.grid_every=1", "training.checkpoint_every=9")
    said = refused("train", PLAIN, *fields, "--out", tmp_path / "run", "--encoders", plain, code=130)
    assert said == "sclgan: training ssagan_emoji stopped after step 1 of 9; repeat the command to continue\n"
    assert open_run(tmp_path / "run").step == 1


@pytest.mark.parametrize("how", ["the file size limit", "no space"])
def test_a_full_disk_at_the_second_checkpoint_leaves_the_first_one(how, plain, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    command = ("train", PLAIN, *small_fields(PLAIN, "training.steps=3"), "--out", folder, "--encoders", plain)
    done(*command, "training.steps=1")
    with monkeypatch.context() as patched:
        if how == "no space":
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            patched.setattr(checkpoint, "save_file", lambda *_: (_ for _ in ()).throw(full))
            said = refused(*command)
            assert "No space left on device" in said
        else:
            with largest_file(100_000):
                said = refused(*command)
            assert "File too large" in said
    assert f"the checkpoint of step 2 could not be written to {folder / 'checkpoints'}" in said
    assert said.endswith("earlier ones are whole: make room and repeat the command\n")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_00000001"]
    assert not list(folder.rglob("*.partial"))
    assert open_run(folder).step == 1
    done(*command)
    assert open_run(folder).step == 3


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Within it no file grows beyond that: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
