"""The automatic split: copies stay together; the check names held-out pictures that are trained on."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from photos_on_disk import photograph, table
from sclgan.data.images import decode
from sclgan.data.sets.own import shown
from sclgan.data.sets.own.check import check
from sclgan.data.sets.own.shown import copies
from sclgan.data.sets.own.source import Folder


def test_copies_show_the_same_pixels_whatever_their_bytes(tmp_path, monkeypatch):
    photograph(tmp_path / "b.jpg", 12, 10)
    photograph(tmp_path / "other.jpg", 12, 10, seed=1)
    photograph(tmp_path / "alone.jpg", 14, 10)
    photograph(tmp_path / "turned.jpg", 10, 12, seed=2)
    (tmp_path / "damaged.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:300])
    with Image.open(tmp_path / "b.jpg") as image:
        image.load()
        image.save(tmp_path / "c.png", compress_level=0)
        image.save(tmp_path / "a.png", compress_level=9)
    with Image.open(tmp_path / "turned.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "upright.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # to be shown turned by 90 degrees to the right
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "exif.png", exif=exif)
    content = (tmp_path / "b.jpg").read_bytes()
    (tmp_path / "described.jpg").write_bytes(content[:2] + b"\xff\xfe\x00\x06kite" + content[2:])
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "b.jpg")
    decoded: list[str] = []
    monkeypatch.setattr(f"{shown.__name__}.decode", lambda path: (decoded.append(path.name), decode(path))[1])
    names = [path.name for path in tmp_path.iterdir()] + ["absent.jpg"]
    expected = dict.fromkeys(["b.jpg", "c.png", "described.jpg", "linked.jpg"], "a.png") | {"turned.jpg": "exif.png"}
    for _ in range(2):
        assert copies(tmp_path, names) == expected
    assert "alone.jpg" not in decoded
    assert decoded.count("b.jpg") == 1


def test_jpegs_of_one_size_are_told_apart_without_decoding(tmp_path, monkeypatch):
    for seed, name in enumerate("abc"):
        photograph(tmp_path / f"{name}.jpg", 12, 10, seed=seed)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b_described.jpg").write_bytes(content[:2] + b"\xff\xfe\x00\x06kite" + content[2:])
    with Image.open(tmp_path / "a.jpg") as image:
        image.save(tmp_path / "b_again.jpg", quality=30)
    monkeypatch.delattr(f"{shown.__name__}.decode")
    assert copies(tmp_path, [path.name for path in tmp_path.iterdir()]) == {"b_described.jpg": "a.jpg"}


def test_re_saved_pictures_are_on_one_side_and_named(tmp_path):
    rows = []
    for picture in range(20):
        photograph(tmp_path / f"{picture}.jpg", 12, 12, seed=picture)
        with Image.open(tmp_path / f"{picture}.jpg") as image:
            for number in range(3):
                image.save(tmp_path / f"{picture}_{number}.png", compress_level=3 * number)
    rows = [{"file_name": path.name, "text": "a thing"} for path in tmp_path.iterdir()]
    table(tmp_path / "metadata.jsonl", rows)
    train, test = (
        {Path(key).stem.partition("_")[0] for key in Folder(split, root=tmp_path).keys} for split in ("train", "test")
    )
    assert len(train | test) == 20
    assert not train & test
    (note,) = map(str, check(tmp_path, image_size=8, max_words=18).problems)
    assert "60 pictures are copies of others, pixel for pixel, such as" in note


@pytest.mark.parametrize("seed", range(3))
def test_all_copies_of_a_picture_are_on_one_side(seed, tmp_path):
    rows = []
    for picture in range(8):
        photograph(tmp_path / "first.jpg", 12, 12, seed=100 * seed + picture)
        for number in range(4):
            rows.append({"file_name": f"{picture}_{number}.jpg", "text": "a thing"})
            shutil.copy(tmp_path / "first.jpg", tmp_path / f"{picture}_{number}.jpg")
    (tmp_path / "first.jpg").unlink()
    table(tmp_path / "metadata.jsonl", rows)
    train, test = ({key[0] for key in Folder(split, root=tmp_path).keys} for split in ("train", "test"))
    assert train | test == set("01234567")
    assert not train & test
    report = check(tmp_path, image_size=8, max_words=18)
    (note,) = map(str, report.problems)
    assert note.startswith(".: note: 24 pictures are copies of others, pixel for pixel, such as '0_1.jpg' of '0_0.jpg'")


def test_a_held_out_picture_that_is_trained_on_is_named_in_whatever_format(tmp_path: Path):
    for number in range(3):
        photograph(tmp_path / f"{number}.jpg", 12, 12, seed=number)
    with Image.open(tmp_path / "0.jpg") as image:
        image.convert("RGB").save(tmp_path / "again.png")
    splits = {"0.jpg": "train", "1.jpg": "train", "2.jpg": "test", "again.png": "test"}
    table(tmp_path / "metadata.jsonl", [{"file_name": n, "text": "a thing", "split": s} for n, s in splits.items()])
    report = check(tmp_path, image_size=8, max_words=18)
    (note,) = map(str, report.problems)
    assert note.startswith("metadata.jsonl:4: note: the held-out picture 'again.png' is the same picture as '0.jpg'")
