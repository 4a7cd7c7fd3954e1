"""`sclgan data`: sets, contact sheets, `check` and `pairs`."""

import io
from pathlib import Path

import pytest
from PIL import Image

import photos_on_disk
from command_line import done, refused, sclgan
from sclgan.data.sets import emoji


def test_a_number_that_no_machine_holds_is_refused_in_one_line(tmp_path):
    line = refused("data", "emoji", "--rows", 1, "--columns", "9" * 40, "--out", tmp_path / "sheet.png")
    assert "a number is too large for this machine" in line
    assert not list(tmp_path.iterdir())


def test_data_lists_the_sets_counts_a_split_and_draws_a_sheet(tmp_path):
    assert done("data").out.split()[:3] == ["emoji", "train", f"{len(emoji.Emoji('train'))},"]
    counted = done("data", "emoji", "--split", "test").out
    assert counted.startswith(f"emoji, test: {len(emoji.Emoji('test'))} pictures")
    sheet = tmp_path / "new" / "sheet.png"
    assert done("data", "emoji", "--out", sheet, "--rows", 1, "--columns", 2, "--size", 32).out == f"{sheet}\n"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * 128
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


def test_data_check_lists_what_is_wrong_and_ends_with_1_if_training_would_fail(tmp_path):
    root = photos_on_disk.own_pictures(tmp_path / "own")
    whole = done("data", "check", root, "--image-size", 32)
    assert whole.out.splitlines()[-1] == "0 errors, 0 notes: training reads this folder"
    assert done("data", "check", root, "--image-size", 100).out.count("and is enlarged to 100") == 18
    (root / "kite" / "0.jpg").unlink()
    ended = sclgan("data", "check", root)
    assert ended.code == 1
    assert ended.out.startswith("metadata.jsonl:1: error: there is no picture 'kite/0.jpg'")
    assert ended.err == f"sclgan: ValueError: {root} has 1 errors, listed above\n"
    assert "cannot be read: metadata.jsonl:1" in refused(
        "train", "ssagan_folder", f"source.root={root}", "--out", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()
    assert "there is no folder nowhere" in refused("data", "check", "nowhere")


def test_data_pairs_describes_every_rule_of_a_data_set_or_a_folder(tmp_path):
    root = photos_on_disk.own_pictures(tmp_path / "own")
    lines = done("data", "pairs", root, "--batch-size", 6).out.splitlines()
    assert lines[0].endswith("3 labels; batches of 6")
    assert [line.split(":")[0] for line in lines[1::2]] == ["shared", "dominant", "exact", "weighted"]
    sheet = tmp_path / "sheet.png"
    done("data", root, "--out", sheet, "--rows", 1, "--columns", 2, "--size", 32)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("damage", ["cut", "one byte", "no index", "other index", "not a zip"])
def test_damaged_data_of_the_package_say_so(damage, monkeypatch):
    import zipfile

    whole = Path(emoji.__file__).with_name("emoji.zip").read_bytes()
    if damage == "no index" or damage == "other index":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("index.json" if damage == "other index" else "else.json", b'{"size": 64}')
        data = buffer.getvalue()
    else:
        half = len(whole) // 2
        data = {
            "cut": whole[:half],
            "one byte": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :],
            "not a zip": b"",
        }[damage]
    monkeypatch.setattr(emoji, "collection", lambda: emoji.Collection(data))
    assert "the package's emoji.zip is damaged" in (said := refused("data"))
    assert "reinstall" in said
