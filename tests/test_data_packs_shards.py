"""Shards that others wrote, indexed in place: what is read, what is refused, and that hostile ones do no harm."""

import io
import json
import logging
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sclgan.data.packs.folder import index_folder, read_dataset
from sclgan.data.packs.read import Packed
from sclgan.data.packs.shards import scan
from sclgan.data.packs.verify import verify
from sclgan.files import LIMIT

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
        drawn = train.picture(row, 32, np.random.default_rng(row))
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
    left_out = index_folder(tmp_path, name="mixed")
    assert len(left_out) == 4  # in both shards, and nothing fails
    assert left_out[0] == "0.tar: 1 captions without a word"
    assert left_out[1].startswith("0.tar: 1 files are not read, with no ending (1): names end at their first dot")
    train = Packed("train", root=tmp_path)
    assert train.label_names == ["3", "7", "cat"]  # numbers in order, then names
    assert list(train.labels) == [(1,), (2, 0), (0,), ()]
    assert train.rows_of_label(0).tolist() == [1, 2]
    assert list(train.keys) == ["a/1", "a/2", "x/y", "a/4"]
    assert list(train.captions()) == ["one", "two", "three", "été trois", "four"]
    assert {train.picture(2, 16, np.random.default_rng(seed)).caption for seed in range(20)} == {"three", "été trois"}
    for row, expected in ((0, COLOURS[0]), (2, COLOURS[2]), (3, COLOURS[0])):
        assert np.abs(train.picture(row, 16, np.random.default_rng(0)).pixels.astype(int) - expected).max() < 12
    assert np.ptp(train.picture(1, 16, np.random.default_rng(0)).pixels, axis=-1).max() == 0  # gray
    assert len(Packed("test", root=tmp_path)) == 4


BAD: dict[str, dict[str, bytes | tarfile.TarInfo]] = {
    "no picture beside": {"1.txt": b"one"},
    "it has no caption with a word": {"1.jpg": picture(0), "1.txt": b" ... \n"},
    "its .json is not JSON in UTF-8": {"1.jpg": picture(0), "1.json": b"{'caption': 1}"},
    "its .json holds '[1]'; expected an object": {"1.jpg": picture(0), "1.json": b"[1]"},
    "its .txt is not text in UTF-8": {"1.jpg": picture(0), "1.txt": "a red kite at a café".encode("latin-1")},
    "its caption is '5'": {"1.jpg": picture(0), "1.json": b'{"caption": 5}'},
    "its caption \"['a kite' 'one']\" looks like a list": {
        "1.jpg": picture(0),
        "1.json": b"{\"caption\": \"['a kite' 'one']\"}",
    },
    "its labels are": {"1.jpg": picture(0), "1.json": b'{"caption": "one", "labels": [-1]}'},
    "its texts hold half a character": {"1.jpg": picture(0), "1.json": b'{"caption": "one \\ud800"}'},
    "at most 1,048,576 are read": {"1.jpg": picture(0), "1.txt": b"a" * (2**20 + 1)},
    "its .json is not JSON": {"1.jpg": picture(0), "1.json": b"[" * 100_000},
    "is not a plain file": {"1.jpg": member("1.jpg"), "1.txt": b"one"},
    "1.TXT occurs twice": {"1.jpg": picture(0), "1.txt": b"one", "1.TXT": b"other"},
}


@pytest.mark.parametrize("told", BAD)
def test_a_bad_sample_is_named_and_fails_or_is_left_out(tmp_path, told):
    files = {"0.jpg": picture(0), "0.txt": b"zero", **BAD[told], "2.jpg": picture(2), "2.txt": b"two"}
    write(tmp_path / "0.tar", files)
    with pytest.raises(ValueError, match=re.escape(told)):
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
    assert sum("is not a plain file" in line for line in left_out) == 3
    packed = Packed("train", root=inside)
    assert list(packed.keys) == ["../../escape", "/absolute"]  # names, and no more than names
    assert packed.picture(0, 16, np.random.default_rng(0)).pixels.shape == (16, 16, 3)
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
    with pytest.raises(ValueError, match=r"0\.tar is damaged or not a tar file: .*; get or pack it again"):
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
    with pytest.raises(ValueError, match="is damaged or not a tar file"):
        scan(shard)


def test_a_picture_that_claims_a_billion_pixels_is_not_decoded(tmp_path):
    content = bytearray(picture(0))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = b"\xff\xff\xff\xff"
    write(tmp_path / "0.tar", {"0.jpg": bytes(content), "0.txt": b"huge"})
    index_folder(tmp_path, name="hostile")
    with pytest.raises(ValueError, match=r"row 0 of train in .* is too large .*at most 67,108,864 pixels"):
        Packed("train", root=tmp_path).picture(0, 16, np.random.default_rng(0))


@pytest.mark.parametrize(
    "kept",
    ["index/notes.txt", "index/1.tar", "index/train/notes.txt", "index/train/labels.npy", "index", "dataset.json"],
)
def test_an_index_never_replaces_what_a_user_keeps_under_its_name(tmp_path, kept):
    write(tmp_path / "0.tar", sample(0))
    (tmp_path / kept).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / kept).write_bytes(b"years of work")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=f"{kept.partition('/')[0]} (holds what is|is damaged, or) not .*: .*move it"):
        index_folder(tmp_path, name="mine", damaged="skip")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_split_that_the_index_does_not_have_is_not_replaced(tmp_path):
    write(tmp_path / "0.tar", sample(0))
    index_folder(tmp_path, name="mine")
    (tmp_path / "index" / "mine").mkdir()
    (tmp_path / "index" / "mine" / "labels.npy").write_bytes(b"years of work")
    with pytest.raises(ValueError, match=r"holds what is not an index of sclgan \(.*mine\)"):
        index_folder(tmp_path, name="mine")
    assert (tmp_path / "index" / "mine" / "labels.npy").exists()


def test_a_link_in_place_of_the_index_is_not_followed(tmp_path):
    write(tmp_path / "shards" / "0.tar", sample(0))
    index_folder(tmp_path / "shards", name="mine")
    (tmp_path / "shards" / "index").rename(tmp_path / "elsewhere")
    (tmp_path / "shards" / "index").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="holds what is not an index"):
        index_folder(tmp_path / "shards", name="mine")
    assert len(list((tmp_path / "elsewhere" / "train").iterdir())) == 10


def test_an_index_is_written_again_after_a_kill_or_damage(tmp_path):
    write(tmp_path / "0.tar", sample(0))
    index_folder(tmp_path, name="mine")
    (tmp_path / "dataset.json").unlink()  # as a kill before it was written leaves the folder
    index_folder(tmp_path, name="mine")
    (tmp_path / "index" / "train" / "keys.bin").write_bytes(b"")
    index_folder(tmp_path, name="mine")
    assert list(Packed("train", root=tmp_path).keys) == ["000000000"]


def test_an_unfinished_pack_is_not_indexed_in_place(tmp_path):
    write(tmp_path / "train-000000.tar", sample(0))
    (tmp_path / "packing").mkdir()
    (tmp_path / "packing" / "plan.json").write_text("[]")
    with pytest.raises(ValueError, match="is an unfinished pack: repeat `sclgan data pack`"):
        index_folder(tmp_path, name="mine")


def test_names_with_dots_are_samples_of_their_own_and_extra_files_are_counted(tmp_path):
    said = b'{"caption": "a red kite", "label": "kite"}'
    files: dict[str, bytes] = {}
    for name in ("22", "22.05", "22.06", "v1.2/cat.01", "v1.2/cat.02"):
        files |= {f"{name}.jpg": picture(0), f"{name}.json": said}
    files |= {"9.jpg": picture(0), "9.seg.png": picture(1, "PNG"), "9.seg.json": b'{"classes": 5}', "9.json": said}
    files |= {"10.JPG": picture(0), "10.json": said, "10.npy": b"", "10.webp": b""}
    write(tmp_path / "0.tar", dict(files))
    (line,) = index_folder(tmp_path, name="dots")
    names = {"22", "22.05", "22.06", "v1.2/cat.01", "v1.2/cat.02", "9", "10"}
    assert (set(Packed("train", root=tmp_path).keys), len(Packed("train", root=tmp_path))) == (names, 7)
    for counted in (".seg.png (1)", ".seg.json (1)", ".npy (1)", "a second picture (.webp) (1)", "first dot"):
        assert counted in line


def test_an_absent_value_does_not_hide_the_one_beside_it(tmp_path):
    files: dict[str, bytes] = {}
    for number, (content, text, label) in enumerate([
        (b'{"caption": null, "label": "kite"}', b"a red kite", b""),
        (b'{"caption": NaN, "label": "kite "}', b"a blue kite", b""),
        (b'{"captions": [], "caption": " ", "label": null}', b"\xef\xbb\xbfa green kite", b"kite"),
        (b'{"captions": [null, "a grey kite", "..."], "labels": []}', b"", b"nan"),
        (b'{"caption": "nan", "label": 3}', b"None", b""),
        (b'{"text": "three", "label": "3"}', b"", b""),
        (b'{"text": "three", "labels": [3.0, " 3", "None", "caf\\u00e9", "cafe\\u0301"]}', b"", b""),
    ]):  # fmt: skip
        files |= {f"{number}.jpg": picture(0), f"{number}.json": content, f"{number}.txt": text, f"{number}.cls": label}
    write(tmp_path / "0.tar", dict(files))
    left_out = index_folder(tmp_path, name="absent", damaged="skip")
    packed = Packed("train", root=tmp_path)
    captions = ["a red kite", "a blue kite", "a green kite", "a grey kite", "three", "three"]
    assert list(packed.captions()) == captions
    assert packed.label_names == ["3", "café", "kite"]
    assert list(packed.labels) == [(2,), (2,), (2,), (), (0,), (0, 1)]
    assert "0.tar: 4: it has no caption with a word" in left_out
    assert "0.tar: 2 captions without a word" in left_out
    assert sum("labels that say none" in line for line in left_out) == 1


def test_text_that_is_a_list_is_that_list(tmp_path):
    files: dict[str, bytes] = {}
    for number, content in enumerate([
        {"caption": "['a red kite', 'a kite']", "labels": "['kite', 'sky']"},
        {"captions": '["a boat", "one boat, sailing"]', "label": "boat"},
        {"text": "[]", "caption": "[a sign] on a wall", "label": '["sign"]'},
    ]):  # fmt: skip
        files |= {f"{number}.jpg": picture(number), f"{number}.json": json.dumps(content).encode()}
    write(tmp_path / "0.tar", dict(files))
    assert index_folder(tmp_path, name="lists") == []
    packed = Packed("train", root=tmp_path)
    captions = ["a red kite", "a kite", "a boat", "one boat, sailing", "[a sign] on a wall"]
    assert list(packed.captions()) == captions
    assert packed.label_names == ["boat", "kite", "sign", "sky"]
    assert list(packed.labels) == [(1, 3), (0,), (2,)]


def test_captions_of_a_text_file_are_its_lines_as_in_own_folders(tmp_path):
    write(tmp_path / "0.tar", {"1.jpg": picture(0), "1.txt": b"\xef\xbb\xbfa red kite\r\n\n a blue kite \n"})
    assert index_folder(tmp_path, name="lines") == []
    assert list(Packed("train", root=tmp_path).captions()) == ["a red kite", "a blue kite"]


def test_copies_in_both_splits_and_labels_that_look_alike_are_told(tmp_path, caplog):
    files: dict[str, bytes | tarfile.TarInfo] = {}
    for number, label in enumerate(("kite", "Kite", "KITE ", "boat")):
        files |= {f"{number}.png": picture(0, "PNG", size=(40, 40 + number)), f"{number}.txt": b"one"}
        files |= {f"{number}.cls": label.encode()}
    write(tmp_path / "train.tar", files)
    write(tmp_path / "test.tar", {**sample(7), "9\x1b.png": files["2.png"], "9\x1b.txt": b"two"})
    index_folder(tmp_path, name="copies")
    copies, alike = read_dataset(tmp_path)["notes"]
    assert copies.startswith(r"1 of 2 pictures of the split 'test' are also in 'train', byte for byte, such as 9\x1b:")
    assert alike.startswith("labels 'kite' (1 pictures), 'Kite' (1 pictures), 'KITE' (1 pictures) look alike")
    assert caplog.messages == [copies, alike]


def long_header(size: bytes, kind: bytes) -> bytes:
    """A header for a long name that claims to have that size, in octal digits."""
    header = bytearray(tarfile.TarInfo("././@LongLink").tobuf())
    header[156:157] = kind
    return resized(bytes(header), b"././@LongLink", size)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_claim_no_memory(tmp_path, kind):
    content = long_header(b"77777777777\0", kind) + write(tmp_path / "0.tar", sample(0)).read_bytes()
    (tmp_path / "0.tar").write_bytes(content)
    with (tmp_path / "0.tar").open("r+b") as file:
        file.truncate(2**33)  # with holes, so that there is something to read
    with pytest.raises(ValueError, match=r"0\.tar is damaged .*: a header claims 8,589,934,591 bytes"):
        scan(tmp_path / "0.tar")


def test_a_picture_above_the_limit_is_left_out_and_the_limit_can_be_raised(tmp_path, monkeypatch):
    write(tmp_path / "0.tar", {**sample(0), **sample(1)})
    monkeypatch.setenv(LIMIT, "100")
    with pytest.raises(ValueError, match=r"at most 100 are read .SCLGAN_MAX_FILE_BYTES raises the limit"):
        index_folder(tmp_path, name="large")
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(ValueError, match=r"SCLGAN_MAX_FILE_BYTES is 'much': expected a number of bytes"):
        index_folder(tmp_path, name="large")
    monkeypatch.delenv(LIMIT)
    assert index_folder(tmp_path, name="large") == []


def test_compressed_hidden_and_linked_shards_are_named(tmp_path):
    write(tmp_path / "shards" / "0.tar", sample(0))
    write(tmp_path / "elsewhere" / "1.tar", sample(1))
    for name in ("1.tar.gz", "2.TGZ", "._0.tar"):
        (tmp_path / "shards" / name).write_bytes(b"")
    os.mkfifo(tmp_path / "shards" / "3.tar")
    (tmp_path / "shards" / "linked").symlink_to(tmp_path / "elsewhere")
    os.rename(tmp_path / "elsewhere" / "1.tar", os.fsencode(tmp_path / "shards") + b"/caf\xe9.tar")
    left_out = index_folder(tmp_path / "shards", name="some")
    named = [line.partition(":")[0] for line in left_out]
    assert named == ["._0.tar", "1.tar.gz", "2.TGZ", "3.tar", r"caf\udce9.tar", "linked"]
    (tmp_path / "shards" / "0.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no shards .*; 1\.tar\.gz: it is compressed"):
        index_folder(tmp_path / "shards", name="none")


def test_names_in_messages_cannot_command_a_terminal(tmp_path):
    write(tmp_path / "0.tar", {**sample(0), "\x1b[2Jall is well\n.txt": b"one", "\x1b]0;.jpg": member("\x1b]0;.jpg")})
    left_out = index_folder(tmp_path, name="hostile", damaged="skip")
    assert len(left_out) == 2
    assert all(line.isprintable() for line in left_out)


def test_folders_without_shards_or_tests_say_so(tmp_path, caplog):
    with pytest.raises(FileNotFoundError, match=r"holds no shards \(\*\.tar\)"):
        index_folder(tmp_path, name="none")
    write(tmp_path / "0.tar", sample(0))
    with pytest.raises(ValueError, match=r"0 of 1 shards .* are for tests: give a pattern --test"):
        index_folder(tmp_path, name="few", test="9*.tar")
    with caplog.at_level(logging.INFO):
        index_folder(tmp_path, name="few")
    assert "indexed train: 1 of 1 shards" in caplog.text
    with pytest.raises(ValueError, match="has no split 'test'"):
        Packed("test", root=tmp_path)
