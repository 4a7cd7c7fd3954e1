from pathlib import Path

import pytest

from sclgan.files import check_own, replaced, write_atomically


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
    check_own(page, b"sclgan")
    page.write_bytes(b"<h1>my home page</h1>")
    with pytest.raises(ValueError, match=r"index\.html is not a file of sclgan and would be overwritten"):
        check_own(page, b"sclgan")
    page.write_bytes(b"<code>sclgan evaluate</code>")
    check_own(page, b"sclgan")
