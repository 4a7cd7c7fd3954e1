import pytest

from sclgan.files import replaced, write_atomically


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError, match="half-way"), replaced(path) as temporary:
        temporary.write_bytes(b"ne")
        raise RuntimeError("half-way")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "deep" / "folder"
    with replaced(folder) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
        assert not folder.exists()
    assert (folder / "a").read_text() == "1"
    with pytest.raises(OSError, match="full"), replaced(folder) as temporary:
        temporary.mkdir()
        (temporary / "b").write_text("2")
        raise OSError("disk is full")
    assert [p.name for p in folder.parent.rglob("*") if p.is_file()] == ["a"]
