"""Shards that others wrote, indexed in place: what is read, what is refused, and that hostile ones do no harm."""

import io
import json
import logging
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclgan.data.packs.folder import index_folder, verify
from sclgan.data.packs.read import Packed
from sclgan.data.packs.shards import scan
from sclgan.random import numpy_generator

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


def picture(number: int, ending: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (48, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[number % 3]).convert(mode).save(file, ending)
    return file.getvalue()


def write(path: Path, files: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """A tar file of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.SYMTYPE, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def sample(number: int) -> dict[str, bytes]:
    """A sample as img2dataset writes it."""
    key = f"{number:09d}"
    said = {"caption": f"a plain picture {number}", "url": "https://example.org", "key": key, "status": "success"}
    return {
        f"{key}.jpg": picture(number),
        f"{key}.txt": said["caption"].encode(),
        f"{key}.json": json.dumps(said).encode(),
    }


def test_a_folder_of_img2dataset_is_indexed_in_place(tmp_path):
    for shard in range(3):
        write(tmp_path / f"{shard:05d}.tar", {k: v for i in range(4) for k, v in sample(10 * shard + i).items()})
        (tmp_path / f"{shard:05d}_stats.json").write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.tar")}
    assert index_folder(tmp_path, name="web", test="00002.tar") == []
    assert {path: path.read_bytes() for path in tmp_path.glob("*.tar")} == before
    train, test = Packed("train", root=tmp_path), Packed("test", root=tmp_path)
    assert (train.name, len(train), len(test)) == ("web", 8, 4)
    assert list(train.keys[4:6]) == ["000000010", "000000011"]
    assert (list(train.labels), train.label_names) == ([()] * 8, [])
    for row, number in enumerate((0, 1, 2, 3, 10, 11, 12, 13)):
        drawn = train.picture(row, 32, numpy_generator(row))
        assert drawn.caption == f"a plain picture {number}"
        assert np.abs(drawn.pixels.astype(int) - COLOURS[number % 3]).max() < 8
    assert list(verify(tmp_path)) == []
    index_folder(tmp_path, name="web", test="00001.tar")  # again, with other splits
    assert Packed("test", root=tmp_path).keys[0] == "000000010"


def test_labels_and_pictures_of_every_kind(tmp_path):
    files: dict[str, bytes | tarfile.TarInfo] = {
        "a/1.png": picture(0, "PNG"),
        "a/1.txt": b"one",
        "a/1.cls": b"7",
        "a/2.jpeg": picture(1, mode="L"),
        "a/2.json": b'{"text": "two", "labels": ["cat", 3, "cat"]}',
        "a/3.webp": picture(2, "WEBP"),
        "a/3.json": b'{"captions": ["three", " ", "\\u00e9t\\u00e9 trois"], "label": 3, "key": "x/y"}',
        "a/4.JPG": picture(0, mode="CMYK"),
        "a/4.json": b'{"caption": "four"}',
        "README": b"by hand",
    }
    write(tmp_path / "val" / "0.tar", files)
    write(tmp_path / "0.tar", files)
    assert index_folder(tmp_path, name="mixed") == []
    train = Packed("train", root=tmp_path)
    assert train.label_names == ["3", "7", "cat"]  # numbers in order, then names
    assert list(train.labels) == [(1,), (2, 0), (0,), ()]
    assert train.rows_of_label(0).tolist() == [1, 2]
    assert list(train.keys) == ["a/1", "a/2", "x/y", "a/4"]
    assert list(train.captions()) == ["one", "two", "three", "été trois", "four"]
    assert {train.picture(2, 16, numpy_generator(seed)).caption for seed in range(20)} == {"three", "été trois"}
    for row, expected in ((0, COLOURS[0]), (2, COLOURS[2]), (3, COLOURS[0])):
        assert np.abs(train.picture(row, 16, numpy_generator(0)).pixels.astype(int) - expected).max() < 12
    assert np.ptp(train.picture(1, 16, numpy_generator(0)).pixels, axis=-1).max() == 0  # gray
    assert len(Packed("test", root=tmp_path)) == 4


BAD: dict[str, dict[str, bytes | tarfile.TarInfo]] = {
    "no picture beside": {"1.txt": b"one"},
    "it has no caption with a word": {"1.jpg": picture(0), "1.txt": b" ... \n"},
    "its texts are not JSON in UTF-8": {"1.jpg": picture(0), "1.json": b"{'caption': 1}"},
    "its .json holds no object": {"1.jpg": picture(0), "1.json": b"[1]"},
    "its caption is '5'": {"1.jpg": picture(0), "1.json": b'{"caption": 5}'},
    "its labels are": {"1.jpg": picture(0), "1.json": b'{"caption": "one", "labels": [-1]}'},
    "its texts hold half a character": {"1.jpg": picture(0), "1.json": b'{"caption": "one \\ud800"}'},
    "at most 1,048,576 are read": {"1.jpg": picture(0), "1.txt": b"a" * (2**20 + 1)},
    "its texts are not": {"1.jpg": picture(0), "1.json": b"[" * 100_000},
    "is no plain file": {"1.jpg": member("1.jpg"), "1.txt": b"one"},
    "1.TXT is there twice": {"1.jpg": picture(0), "1.txt": b"one", "1.TXT": b"other"},
}


@pytest.mark.parametrize("told", BAD)
def test_a_bad_sample_is_named_and_fails_or_is_left_out(tmp_path, told):
    files = {"0.jpg": picture(0), "0.txt": b"zero", **BAD[told], "2.jpg": picture(2), "2.txt": b"two"}
    write(tmp_path / "0.tar", files)
    with pytest.raises(ValueError, match=told.replace(".", r"\.")):
        index_folder(tmp_path, name="bad")
    assert not (tmp_path / "dataset.json").exists()
    left_out = index_folder(tmp_path, name="bad", damaged="skip")
    assert told.removesuffix("twice") in " ".join(left_out)
    keys = list(Packed("train", root=tmp_path).keys)
    assert keys[0] == "0"
    assert keys[-1] == "2"


def test_names_that_climb_links_and_devices_are_never_followed(tmp_path):
    inside = tmp_path / "shards"
    files: dict[str, bytes | tarfile.TarInfo] = {
        "../../escape.jpg": picture(0),
        "../../escape.txt": b"out",
        "/absolute.jpg": picture(1),
        "/absolute.txt": b"absolute",
        "dev.jpg": member("dev.jpg", tarfile.CHRTYPE),
        "hard.jpg": member("hard.jpg", tarfile.LNKTYPE, "0.jpg"),
        "fifo.jpg": member("fifo.jpg", tarfile.FIFOTYPE),
        "folder": member("folder", tarfile.DIRTYPE),
    }
    write(inside / "0.tar", files)
    left_out = index_folder(inside, name="hostile", damaged="skip")
    assert sum("no plain file" in line for line in left_out) == 4
    packed = Packed("train", root=inside)
    assert list(packed.keys) == ["../../escape", "/absolute"]  # names, and no more than names
    assert packed.picture(0, 16, numpy_generator(0)).pixels.shape == (16, 16, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards"]
    assert sorted(path.name for path in inside.iterdir()) == ["0.tar", "dataset.json", "index"]


def resized(content: bytes, name: bytes, size: bytes) -> bytes:
    """A tar file in which a member claims another size, with the checksum to match."""
    begin = content.index(name)
    header = bytearray(content[begin : begin + 512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:begin] + bytes(header) + content[begin + 512 :]


@pytest.mark.parametrize(
    "size",
    [b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, b"\xff" * 10 + b"\xf0\x00"],
    ids=["8 GB", "EB", "< 0"],
)
def test_a_member_that_claims_more_than_there_is_costs_nothing(tmp_path, size):
    shard = write(tmp_path / "0.tar", {**sample(0), **sample(1)})
    shard.write_bytes(resized(shard.read_bytes(), b"000000001.jpg", size))
    with pytest.raises(ValueError, match=r"0\.tar is damaged or no tar file: .*; get or pack it again"):
        index_folder(tmp_path, name="hostile", damaged="skip")


@pytest.mark.parametrize("damage", ["cut", "header", "compressed", "nothing", "text"])
def test_a_damaged_shard_is_an_error_and_never_taken_for_a_short_one(tmp_path, damage):
    shard = write(tmp_path / "0.tar", {**sample(0), **sample(1), **sample(2)})
    content = shard.read_bytes()
    if damage == "cut":
        content = content[: content.index(b"000000002.jpg") + 700]
    elif damage == "header":
        place = content.index(b"000000001.txt")
        content = content[:place] + b"\x01" * 300 + content[place + 300 :]
    elif damage == "compressed":
        with tarfile.open(tmp_path / "0.tgz", "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("a"))
        content = (tmp_path / "0.tgz").read_bytes()
    else:
        content = b"" if damage == "nothing" else b"This is a page that says 404.\n" * 50
    shard.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged or no tar file"):
        scan(shard)


def test_a_picture_that_claims_a_billion_pixels_is_not_decoded(tmp_path):
    content = bytearray(picture(0))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = b"\xff\xff\xff\xff"
    write(tmp_path / "0.tar", {"0.jpg": bytes(content), "0.txt": b"huge"})
    index_folder(tmp_path, name="hostile")
    with pytest.raises(ValueError, match=r"row 0 of train in .* is truncated or no picture \(Image size"):
        Packed("train", root=tmp_path).picture(0, 16, numpy_generator(0))


def test_folders_without_shards_or_tests_say_so(tmp_path, caplog):
    with pytest.raises(FileNotFoundError, match=r"holds no shards \(\*\.tar\)"):
        index_folder(tmp_path, name="none")
    write(tmp_path / "0.tar", sample(0))
    with pytest.raises(ValueError, match="0 are for tests: give another --test"):
        index_folder(tmp_path, name="few", test="9*.tar")
    with caplog.at_level(logging.INFO):
        index_folder(tmp_path, name="few")
    assert "indexed train: 1 of 1 shards" in caplog.text
    with pytest.raises(ValueError, match="has no split 'test'"):
        Packed("test", root=tmp_path)
