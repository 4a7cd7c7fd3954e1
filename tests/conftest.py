"""One thread a process: tests start processes of their own, and threads that wait for a busy core are very slow."""

import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start

import torch

torch.set_num_threads(1)

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> None:
    """Features that commands keep for the user stay within the tests, also those of processes that tests start."""
    os.environ["SCLGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """A tiny run of the baseline, made by the commands; its encoders are beside it in "encoders"."""
    from command_line import PLAIN, done
    from runs import small_fields

    folder = tmp_path_factory.mktemp("plain")
    ended = done("pretrain", PLAIN, *small_fields(PLAIN), "--out", folder / "encoders")
    assert ended.out == f"encoders in {folder / 'encoders'}\n"
    encoders = ("--encoders", folder / "encoders")
    ended = done("train", PLAIN, *small_fields(PLAIN), "--out", folder / "run", *encoders)
    assert ended.out == f"run in {folder / 'run'}\n"
    return folder / "run"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A tiny run of the method, six steps of each phase, never interrupted; tests read it and copy it."""
    from runs import SCL, SIX_STEPS, small
    from sclgan.train import training

    folder = tmp_path_factory.mktemp("trained") / "run"
    training.train(small(SCL, *SIX_STEPS), folder)
    return folder


@pytest.fixture(scope="session")
def evaluated(trained, tmp_path_factory) -> Path:
    """The trained run with two evaluations of its last step, and one of another."""
    from sclgan.evaluation.engine import EvaluationOptions
    from sclgan.evaluation.run import evaluate_run

    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained, run)
    for num_images in (4, 6):
        evaluate_run(run, EvaluationOptions(["background_accuracy"], num_images=num_images))
    evaluate_run(run, EvaluationOptions(["background_accuracy"], num_images=5), checkpoint="5")
    return run


@pytest.fixture(scope="session")
def script():
    """`scripts/build_model.py` as a module."""
    sys.path.insert(0, str(SCRIPTS))
    import build_model

    sys.path.remove(str(SCRIPTS))
    return build_model


@pytest.fixture(scope="session")
def built(evaluated, script, tmp_path_factory) -> Path:
    """The model "emoji" of that run, in a folder of models."""
    made: Path = script.build(evaluated, "emoji", tmp_path_factory.mktemp("models"))
    return made


@pytest.fixture
def shipped(built, tmp_path, monkeypatch) -> Path:
    """A copy of it, where the models of the package are looked for."""
    from sclgan import models

    folder = tmp_path / "package" / "models" / "emoji"
    shutil.copytree(built, folder)
    monkeypatch.setattr(models, "home", lambda: folder.parent)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A folder of a user's own pictures, to read."""
    import photos_on_disk

    return photos_on_disk.own_pictures(tmp_path_factory.mktemp("data") / "own")


@pytest.fixture
def own(original, tmp_path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(original, tmp_path / "own"))
