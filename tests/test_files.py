import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sclgan.files import MARK, check_own, remove_parts, replaced, write_atomically


def fail_half_way(path: Path, in_it: str = "") -> None:
    with replaced(path) as temporary:
        (temporary if in_it else temporary.parent).mkdir(exist_ok=True)
        (temporary / in_it if in_it else temporary).write_text("new")
        raise RuntimeError("half-way")


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "deep" / "folder"
    with replaced(folder) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
        assert not folder.exists()
    assert (folder / "a").read_text() == "1"
    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way(folder, in_it="b")
    assert [p.name for p in folder.parent.rglob("*") if p.is_file()] == ["a"]


def test_a_file_of_another_program_is_not_replaced(tmp_path):
    page = tmp_path / "index.html"
    check_own(page)
    page.write_bytes(b"")
    check_own(page)
    page.write_bytes(b"<h1>my home page, with sclgan</h1>")
    with pytest.raises(ValueError, match=r"index\.html was not written by this command and would be overwritten"):
        check_own(page)
    check_own(page, b"my home page")
    page.write_bytes(b"<h1>" + MARK)
    check_own(page)


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe", "not a regular file"), (Path("/dev/null"), "not a")):
        with pytest.raises(ValueError, match=f"is {kind}"):
            check_own(path)


def test_parts_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    dead, living = tmp_path / f".file.{process.pid}.partial", tmp_path / f".file.{os.getppid()}.partial"
    for path in (dead, living, tmp_path / f".other.{process.pid}.partial"):
        path.write_bytes(b"half")
    write_atomically(tmp_path / "file", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["file", living.name, f".other.{process.pid}.partial"]
    )
    remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["file", living.name])


def test_a_folder_survives_a_kill_between_the_two_renames_that_replace_it(tmp_path):
    aside = tmp_path / ".folder.old"
    aside.mkdir()
    (aside / "a").write_text("1")
    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way(tmp_path / "folder", in_it="b")
    assert (tmp_path / "folder" / "a").read_text() == "1"
    with replaced(tmp_path / "folder") as temporary:
        temporary.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_told_with_the_file_and_advice(tmp_path):
    with pytest.raises(OSError, match="make room and repeat the command: ") as caught, replaced(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "file")
