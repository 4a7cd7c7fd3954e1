"""One thread a process: tests start processes of their own, and threads that wait for a busy core are very slow."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start

import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory) -> None:
    """Features that commands keep for the user stay within the tests, also those of processes that tests start."""
    os.environ["SCLGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A tiny run of the method, six steps of each phase, never interrupted; tests read it and copy it."""
    from runs import SCL, SIX_STEPS, small
    from sclgan.train import session

    folder = tmp_path_factory.mktemp("trained") / "run"
    session.train(small(SCL, *SIX_STEPS), folder)
    return folder
