"""A run folder has one recipe, one command at a time, and nothing of dead processes; differences of recipes."""

import subprocess
import sys
from pathlib import Path

import pytest

from runs import small
from sclgan.runs.differences import differences
from sclgan.runs.folder import claim, held, require_run, saved_recipe

HOLD = """
import os, sys, time
from pathlib import Path
from sclgan.runs.folder import held
with held(Path(sys.argv[1])):
    if os.fork() == 0:  # such as a worker that loads data
        os.close(1)
        time.sleep(5)
        os._exit(0)
    print("held", flush=True)
    time.sleep(30)
"""


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", ["recipe.json", "encoders.safetensors"])
def test_what_a_killed_process_left_of_its_first_file_does_not_keep_the_folder(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    part, running = folder / f".{name}.{dead_process()}.partial", folder / f".{name}.1.partial"
    for path in (part, running):
        path.write_text("{")
    (folder / "checkpoints" / f".step_00000001.{dead_process()}.partial").mkdir(parents=True)
    (folder / ".lock").touch()
    with pytest.raises(ValueError, match="not empty and is not a run folder"), held(folder):
        pass  # "checkpoints" is nothing that a first file leaves
    (folder / "checkpoints").rename(tmp_path / "elsewhere")
    with held(folder):
        claim(folder, small())
    assert not part.exists()
    assert running.exists()  # its writer is alive
    assert saved_recipe(folder).name == small().name


def test_parts_of_checkpoints_are_removed(tmp_path):
    claim(tmp_path, small())
    part = tmp_path / "checkpoints" / f".step_00000001.{dead_process()}.partial"
    part.mkdir(parents=True)
    (part / "state.pt").touch()
    with held(tmp_path):
        assert not part.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="locks by fcntl")
def test_one_command_has_a_folder_until_it_ends_however_it_ends(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"another command trains in {tmp_path}: wait"), held(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    with held(tmp_path):  # though the worker lives
        pass


def test_a_folder_that_was_removed_is_not_written_into(tmp_path):
    claim(tmp_path / "run", small())
    require_run(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="run was removed or moved while the run was going on"):
        require_run(tmp_path / "run")


def test_differences_name_every_field_by_its_path():
    one = {"a": 1, "b": {"c": [1, 2], "d": None}, "e": [{"f": 1.0}, {"f": 2.0}], "g": None}
    other = {"a": 1, "b": {"c": [1, 3]}, "e": [{"f": 1.0}, {"f": 3.0, "k": 0}], "g": {"call": "x", "width": 8}}
    assert differences([one, other]) == {
        "b.c": [[1, 2], [1, 3]],
        "e.1.f": [2.0, 3.0],
        "e.1.k": [None, 0],
        "g.call": [None, "x"],
        "g.width": [None, 8],
    }
    assert differences([one, one, one]) == {}
    assert differences([{"e": [{"f": 1}]}, {"e": []}]) == {"e": [[{"f": 1}], []]}
    assert differences([1, 2, 1], "a") == {"a": [1, 2, 1]}


def test_a_recipe_that_cannot_be_read_is_named(tmp_path):
    claim(tmp_path, small())
    path: Path = tmp_path / "recipe.json"
    path.write_text(path.read_text().replace('"image_size": 64', '"image_size": "64"', 1))
    with pytest.raises(ValueError, match=f"{path}: "):
        saved_recipe(tmp_path)
