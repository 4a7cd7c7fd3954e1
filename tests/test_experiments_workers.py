"""Processes side by side: their devices, their failures, interruptions, and one program a folder."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from sclgan.experiments.workers import CommandError, CommandPool, FolderLock, devices


@pytest.fixture
def script(tmp_path, monkeypatch) -> Path:
    """In the place of Python: `-m sclgan NAME` notes itself and its environment, and does what the name says."""
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        f'cd {tmp_path}; echo "$CUDA_VISIBLE_DEVICES,$OMP_NUM_THREADS" > "$3.began"\n'
        'case "$3" in\n'
        '  bad*) echo "what was wrong" >&2; exit 1 ;;\n'
        "  long*) trap 'touch stopped; exit 130' TERM; while :; do sleep 0.02; done ;;\n"
        '  *) echo "the same for all" >&2 ;;\n'
        "esac\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path


def run(num: int, jobs: dict[str, list[list[str]]], folder: Path) -> dict[str, CommandError | None]:
    """What each job ended with, by title, in the order in which they ended."""
    ended: dict[str, CommandError | None] = {}
    with FolderLock(folder / "locked") as lock:
        CommandPool(num, held=lock.descriptor).run(jobs, lambda title, error: ended.update({title: error}))
    return ended


def test_a_job_that_fails_says_why_and_the_others_go_on(script, capfd):
    ended = run(2, {"one": [["bad"], ["never"]], "two": [["good"], ["better"]], "three": [["best"]]}, script)
    assert (set(ended), ended["two"], ended["three"]) == ({"one", "two", "three"}, None, None)
    assert str(ended["one"]) == "what was wrong: `sclgan bad` ended with exit code 1; repeat to continue"
    assert not (script / "never.began").exists()
    said = capfd.readouterr().err
    assert "one | what was wrong\n" in said
    assert said.count("the same for all") == 1


def test_each_place_has_one_gpu_and_a_cpu_one_thread(script, monkeypatch):
    run(1, {"cpu": [["cpu"]]}, script)
    assert (script / "cpu.began").read_text().strip().endswith(",1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert devices() == ["5", "7"]
    run(3, {name: [[name]] for name in ("a", "b", "c")}, script)
    assert sorted((script / f"{name}.began").read_text()[0] for name in "abc") == ["5", "5", "7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices() == ["0", "1"]


def test_an_interruption_reaches_every_process_and_nothing_new_begins(script):
    def interrupt() -> None:
        while not (script / "long.began").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(1, {"first": [["long"], ["next"]], "second": [["other"]]}, script)
    thread.join()
    assert (script / "stopped").exists()
    assert not (script / "next.began").exists()
    assert not (script / "other.began").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_is_kept_for_one_program_until_its_last_process_has_ended(tmp_path):
    folder = tmp_path / "new"
    with FolderLock(folder) as lock:
        with pytest.raises(ValueError, match="another command works in"):
            FolderLock(folder)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    with pytest.raises(ValueError, match="another command works in"):
        FolderLock(folder)
    child.communicate(b"\n")
    with FolderLock(folder):
        pass
