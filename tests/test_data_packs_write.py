"""Packing: what is written, what is kept when it is interrupted, what is read back, and by whom."""

import io
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

import photos_on_disk
from sclgan.data.captions import Vocabulary
from sclgan.data.packs import decode
from sclgan.data.packs import write as packing
from sclgan.data.packs.folder import read_dataset
from sclgan.data.packs.processes import in_order
from sclgan.data.packs.read import Packed
from sclgan.data.packs.shards import write_shard
from sclgan.data.packs.verify import verify
from sclgan.data.packs.write import pack
from sclgan.data.pairs import PairedBatches
from sclgan.data.sets.backgrounds import background_of, named_background
from sclgan.data.sets.coco import Coco
from sclgan.data.sets.cub import Cub
from sclgan.data.sets.emoji import Emoji
from sclgan.data.sets.own.source import Folder
from sclgan.data.sets.photographs import decoded, framed, margin
from sclgan.data.types import Picture, Sample, Source

DEAD = 2**22 + 1  # no process of Linux has this number
SIZE = 32


class Few:
    """A `Source` over the first rows of another, or over changed ones."""

    def __init__(self, source: Source, num: int, damage: dict[int, bytes] | None = None) -> None:
        self.source, self.num, self.damage = source, num, damage or {}
        self.name, self.split, self.label_names = source.name, source.split, source.label_names
        self.composes, self.credits = source.composes, source.credits
        self.labels, self.keys = source.labels[:num], source.keys[:num]

    def __len__(self) -> int:
        return self.num

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        return self.source.picture(index, size, rng, augment=augment)

    def captions(self) -> Iterator[str]:
        return iter(self.source.captions())

    def sample(self, index: int) -> Sample:
        sample: Sample = self.source.sample(index)
        return replace(sample, image=self.damage.get(index, sample.image))


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> Path:
    """CUB in its layout, with photographs larger than a pack of `SIZE` keeps."""
    root = photos_on_disk.birds(tmp_path_factory.mktemp("data") / "birds")
    for number, path in enumerate(sorted((root / "CUB_200_2011" / "images").rglob("*.jpg"))):
        photos_on_disk.photograph(path, 180, 120, seed=number)
    lines = "".join(f"{i} 30.0 15.0 90.0 60.0\n" for i in range(1, 13))
    (root / "CUB_200_2011" / "bounding_boxes.txt").write_text(lines)
    return root


@pytest.fixture(scope="module")
def packed_birds(birds, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "cub"
    assert pack([Cub("train", root=birds), Cub("test", root=birds)], out, size=SIZE, samples_per_shard=3) == []
    return out


@pytest.fixture
def copy(packed_birds, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(packed_birds, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_packed_is_read_back(birds, packed_birds, split):
    original, packed = Cub(split, root=birds), Packed(split, root=packed_birds)
    assert isinstance(packed, Source)
    assert (packed.name, packed.split, len(packed)) == ("cub", split, len(original))
    assert list(packed.labels) == list(original.labels)
    assert list(packed.keys) == list(original.keys)
    assert list(packed.label_names) == list(original.label_names)
    assert list(packed.captions()) == list(original.captions())
    assert packed.labels[1:3] == list(original.labels[1:3])
    assert packed.keys[-1] == original.keys[-1]
    with pytest.raises(IndexError):
        packed.labels[len(packed)]
    for label in range(len(original.label_names)):
        rows = [row for row, own in enumerate(original.labels) if label in own]
        assert packed.rows_of_label(label).tolist() == rows


@pytest.mark.parametrize("augment", [True, False])
def test_pictures_are_the_originals_up_to_jpeg(birds, packed_birds, augment):
    original, packed = Cub("train", root=birds), Packed("train", root=packed_birds)
    for row in range(len(original)):
        for seed in range(4):
            expected = original.picture(row, SIZE, np.random.default_rng((seed, row)), augment=augment)
            found = packed.picture(row, SIZE, np.random.default_rng((seed, row)), augment=augment)
            assert found.caption == expected.caption
            gaps = np.abs(found.pixels.astype(int) - expected.pixels)
            assert gaps.mean() < 3  # another flip or crop differs by ten times as much


def test_other_sizes_are_resized_from_what_is_packed(packed_birds):
    packed = Packed("train", root=packed_birds)
    for size in (16, 48):
        found = packed.picture(2, size, np.random.default_rng(5)).pixels
        stored = decoded(packed.sample(2).image, name="stored")
        np.testing.assert_array_equal(found, framed(stored, size, np.random.default_rng(5).random(4).tolist()[1:]))


def test_the_shorter_side_is_the_margin_and_small_pictures_stay_as_they_are(packed_birds, tmp_path):
    for row in range(8):
        with Image.open(io.BytesIO(Packed("train", root=packed_birds).sample(row).image)) as image:
            assert min(image.size) == margin(SIZE)
    original = Coco("train", root=photos_on_disk.scenes(tmp_path / "coco"))  # 48 pixels high, without a box
    pack([original], tmp_path / "pack", size=256)
    packed = Packed("train", root=tmp_path / "pack")
    assert [packed.sample(row).image for row in range(8)] == [original.sample(row).image for row in range(8)]
    same = [one.picture(3, 256, np.random.default_rng(1)).pixels for one in (original, packed)]
    np.testing.assert_array_equal(same[0], same[1])


def test_packs_are_smaller_and_say_how_they_were_made(packed_birds):
    content = read_dataset(packed_birds)
    assert content["picture_bytes"] < content["original_bytes"]
    assert (content["image_size"], content["shorter_side"]) == (SIZE, 38)
    assert "quality 90" in content["pictures"]
    assert "4:2:0" in content["pictures"]
    assert "research" in content["source"]
    shards = content["splits"]["train"]["shards"]
    assert [shard["num_samples"] for shard in shards] == [3, 3, 2]
    assert not (packed_birds / "packing").exists()


def test_synthetic_pictures_stay_lossless_and_their_captions_true(tmp_path):
    pack([Few(Emoji("test"), 12)], tmp_path / "pack", size=128, samples_per_shard=5)
    packed = Packed("test", root=tmp_path / "pack")
    for row in range(len(packed)):
        sample = packed.sample(row)
        assert sample.image == Emoji("test").sample(row).image
        picture = packed.picture(row, 128, np.random.default_rng(row))
        backgrounds = {named_background(caption) for caption in sample.captions} - {None}
        assert backgrounds == {background_of(picture.pixels)}
        whole = np.asarray(decoded(sample.image, name="whole"))
        assert extent(picture.pixels, whole[0, 0]) == extent(whole, whole[0, 0])


def extent(pixels: np.ndarray, background: np.ndarray) -> tuple[int, int]:
    """Height and width of everything before the background."""
    rows, columns = (np.abs(pixels.astype(int) - background).sum(-1) > 60).nonzero()
    return int(np.ptp(rows)), int(np.ptp(columns))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_webdataset_and_tar_read_the_shards(birds, packed_birds):
    original = Cub("train", root=birds)
    urls = str(packed_birds / "train-{000000..000002}.tar")
    stream = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    for row, sample in enumerate(stream):
        assert sample["__key__"] == f"{row:09d}"
        assert sample["json"]["captions"] == list(original.sample(row).captions)
        assert sample["json"]["key"] == original.keys[row]
        assert sample["json"]["labels"] == list(original.labels[row])
        assert min(sample["jpg"].shape[:2]) == margin(SIZE)
    assert row == len(original) - 1
    with tarfile.open(packed_birds / "train-000000.tar") as tar:
        assert tar.getnames()[:2] == ["000000000.jpg", "000000000.json"]


class KilledError(BaseException):
    """What a test ends a packing with."""


def test_a_killed_packing_continues_and_ends_with_the_same_bytes(birds, packed_birds, tmp_path, monkeypatch):
    sources = [Cub("train", root=birds), Cub("test", root=birds)]
    calls = iter(range(100))
    write = write_shard

    def dies_in_the_third(path, samples):
        write(path, samples)
        if next(calls) == 2:
            raise KilledError

    monkeypatch.setattr(packing, "write_shard", dies_in_the_third)
    out = tmp_path / "cub"
    with pytest.raises(KilledError):
        pack(sources, out, size=SIZE, samples_per_shard=3)
    assert sorted(path.name for path in out.glob("*.tar")) == ["train-000000.tar", "train-000001.tar"]
    with pytest.raises(FileNotFoundError, match="packing was interrupted: repeat the command"):
        Packed("train", root=out)
    (out / f".train-000002.tar.{DEAD}.partial").write_bytes(b"half")  # as a kill that nothing can catch leaves it
    written = []
    monkeypatch.setattr(packing, "write_shard", lambda path, samples: (written.append(path), write(path, samples)))
    (out / "index").mkdir()
    (out / "index" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds what is not an index"):
        pack(sources, out, size=SIZE, samples_per_shard=3)
    assert written == []
    shutil.rmtree(out / "index")
    pack(sources, out, size=SIZE, samples_per_shard=3)
    assert len(written) == 3  # two of five were done
    assert contents(out) == contents(packed_birds)
    (out / "packing").mkdir()  # as a kill leaves it when dataset.json is written
    (out / "packing" / "plan.json").write_text(json.dumps(read_dataset(out)["packed"]))
    pack(sources, out, size=SIZE, samples_per_shard=3)  # done: only that is removed
    assert len(written) == 3
    assert contents(out) == contents(packed_birds)
    with pytest.raises(ValueError, match="holds another pack"):
        pack(sources, out, size=64)


def test_a_kill_or_a_full_disk_at_the_first_file_does_not_bar_the_folder(birds, tmp_path):
    parts = tmp_path / "cub" / "packing"
    parts.mkdir(parents=True)
    pack([Few(Cub("test", root=birds), 1)], tmp_path / "cub", size=SIZE)  # a full disk leaves the folders
    for name in (f".plan.json.{DEAD}.partial", f".index.{DEAD}.partial"):
        (tmp_path / "killed" / "packing").mkdir(parents=True, exist_ok=True)
        (tmp_path / "killed" / "packing" / name).write_bytes(b"[")
    (tmp_path / "killed" / f".index.{DEAD}.partial" / "train").mkdir(parents=True)  # while the index was written
    pack([Few(Cub("test", root=birds), 1)], tmp_path / "killed", size=SIZE)
    assert contents(tmp_path / "killed") == contents(tmp_path / "cub")
    (tmp_path / "other" / "packing").mkdir(parents=True)
    (tmp_path / "other" / "packing" / "list.txt").write_text("suitcase")
    with pytest.raises(ValueError, match="is not empty and does not hold a pack"):
        pack([Few(Cub("test", root=birds), 1)], tmp_path / "other", size=SIZE)


def test_files_that_a_user_keeps_beside_the_records_of_a_packing_stay(birds, tmp_path, monkeypatch):
    source = Few(Cub("test", root=birds), 2)

    def keep_a_note(*_: object) -> list[str]:
        (tmp_path / "packing" / "mine.txt").write_text("mine")
        return []

    monkeypatch.setattr(packing, "write_folder", keep_a_note)
    pack([source], tmp_path, size=SIZE)
    assert contents(tmp_path / "packing") == {"mine.txt": b"mine"}


def test_an_own_folder_is_packed_without_its_damaged_pictures(tmp_path):
    rows = []
    for number in range(6):
        Image.new("RGB", (50, 40), (40 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
        rows.append({"file_name": f"{number}.jpg", "text": "a red kite", "split": "test" if number == 5 else "train"})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "2.jpg").write_bytes((tmp_path / "2.jpg").read_bytes()[:200])
    (tmp_path / "3.jpg").write_bytes(b"<html>404</html>")
    source = Folder("train", root=tmp_path)
    with pytest.raises(ValueError, match=r"2\.jpg .*--damaged skip"):
        pack([source], tmp_path / "fails", size=SIZE)
    left_out = pack([source], tmp_path / "pack", size=SIZE, damaged="skip")
    assert [name in line for name, line in zip(("2.jpg", "3.jpg"), left_out, strict=True)] == [True, True]
    assert list(Packed("train", root=tmp_path / "pack").keys) == ["0.jpg", "1.jpg", "4.jpg"]


def test_a_picture_longer_than_a_jpeg_can_be_is_stored_lossless(tmp_path):
    for number, width in enumerate((65_500, 65_501)):
        Image.new("RGB", (width, 20), (90, 0, 40 * number)).save(tmp_path / f"{number}.tif")
    rows = [
        {"file_name": f"{number}.tif", "captions": ["a line"], "split": ("train", "test")[number]} for number in (0, 1)
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert pack([Folder(split, root=tmp_path) for split in ("train", "test")], tmp_path / "pack", size=SIZE) == []
    samples = {split: Packed(split, root=tmp_path / "pack").sample(0).image for split in ("train", "test")}
    assert samples["train"].startswith(b"\xff\xd8")
    with Image.open(io.BytesIO(samples["test"])) as image:
        assert (image.format, image.size, image.getpixel((0, 0))) == ("PNG", (65_501, 20), (90, 0, 40))


def test_processes_write_what_one_does(birds, packed_birds, tmp_path):
    sources = [Cub("train", root=birds), Cub("test", root=birds)]
    pack(sources, tmp_path / "cub", size=SIZE, samples_per_shard=3, num_workers=2)
    assert contents(tmp_path / "cub") == contents(packed_birds)


def ends(_shared: None, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_killed_worker_is_told():
    with pytest.raises(OSError, match="a worker process was killed"):
        list(in_order(ends, None, [1, 2, 3], 1))


def test_a_damaged_picture_ends_the_packing_or_is_named_and_left_out(birds, tmp_path):
    whole = Cub("train", root=birds)
    damaged = Few(whole, 8, {4: whole.sample(4).image[:500]})
    with pytest.raises(ValueError, match=rf"cub, train: {whole.keys[4]} is truncated .* --damaged skip"):
        pack([damaged], tmp_path / "a", size=SIZE, samples_per_shard=3)
    assert (tmp_path / "a" / "train-000000.tar").exists()  # finished shards are kept for the next attempt
    pack([whole], tmp_path / "a", size=SIZE, samples_per_shard=3)
    assert len(Packed("train", root=tmp_path / "a")) == 8
    left_out = pack([damaged], tmp_path / "b", size=SIZE, samples_per_shard=3, damaged="skip")
    assert len(left_out) == 1
    assert whole.keys[4] in left_out[0]
    assert list(Packed("train", root=tmp_path / "b").keys) == [key for key in whole.keys if key != whole.keys[4]]
    assert read_dataset(tmp_path / "b")["left_out"] == left_out


def test_strange_folders_are_not_written_to(birds, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and does not hold a pack"):
        pack([Cub("train", root=birds)], tmp_path, size=SIZE)
    with pytest.raises(ValueError, match="quality 101"):
        pack([Cub("train", root=birds)], tmp_path / "new", size=SIZE, quality=101)


def test_verify_finds_each_kind_of_damage(copy):
    assert list(verify(copy)) == []
    shard = copy / "train-000001.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    cut = copy / "train-000002.tar"
    cut.write_bytes(cut.read_bytes()[:-512])
    (copy / "test-000001.tar").unlink()
    keys = copy / "index" / "test" / "keys.bin"
    keys.write_bytes(b"x" + keys.read_bytes()[1:])
    found = list(verify(copy))
    assert len(found) == 4
    told = ("its content has changed (sha256)", "had", "it is missing", "its content has changed; index or pack")
    assert all(words in line for words, line in zip(told, found, strict=True))


def test_reading_a_damaged_pack_says_what_to_do(copy):
    whole = Packed("train", root=copy)
    shard = copy / "train-000002.tar"
    shard.write_bytes(shard.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"train-000002\.tar is cut off: `sclgan data verify"):
        whole.picture(7, SIZE, np.random.default_rng(0))
    (copy / "index" / "train" / "keys.bin").unlink()
    with pytest.raises(ValueError, match=r"is not an index of this version .*: copy the folder again"):
        Packed("train", root=copy)
    with pytest.raises(ValueError, match="has no split 'unseen'; it has train, test"):
        Packed("unseen", root=copy)


def altered(content: dict[str, Any], path: str, value: object) -> bytes:
    """JSON with another value at a path such as splits/train/shards/0/file."""
    changed = json.loads(json.dumps(content))
    *parents, last = path.split("/")
    place = changed
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(changed).encode()


def test_a_damaged_or_foreign_dataset_file_is_an_error_that_names_it(copy):
    content = read_dataset(copy)
    files = [b"", b"\xff\xfe", b"[1]", b"{}", b"[" * 100_000, b'{"format": 1}', b'{"name": "my own notes"}']
    wrong: dict[str, tuple[Any, ...]] = {
        "format": (2, "1", None),
        "name": (5, None),
        "splits": ([], {}, "train"),
        "splits/train": ([], None),
        "splits/train/shards": ({}, [], [5], "all"),
        "splits/train/shards/0/file": (5, "../../elsewhere.tar", "/etc/passwd"),
        "splits/train/shards/0/num_samples": ("3", 2.5, True),
        "splits/train/label_names": ({}, [5], None),
        "splits/train/index_sha256": (None,),
        "left_out": ("all", [5]),
    }
    for path, values in wrong.items():
        files += [altered(content, path, value) for value in values]
    for file in files:
        (copy / "dataset.json").write_bytes(file)
        with pytest.raises(ValueError, match=r"dataset\.json is damaged, or not of sclgan: "):
            Packed("train", root=copy)
    (copy / "dataset.json").write_bytes(altered(content, "splits/train/shards/0/num_samples", 2))
    with pytest.raises(ValueError, match=r"index/train has 8 rows and 2 labels, .*dataset\.json has 7 and 2"):
        Packed("train", root=copy)


def test_a_hostile_index_claims_no_memory_and_is_named(copy):
    folder = copy / "index" / "train"
    pictures = np.load(folder / "pictures.npy")
    pictures["size"][:2], pictures["shard"][2] = (2**32 - 1, 2**27), 77
    np.save(folder / "pictures.npy", pictures)
    packed = Packed("train", root=copy)
    for row, told in enumerate((r"claims 4,294,967,295 bytes; at most 268,435,456", "is cut off", "in shard 77")):
        with pytest.raises(ValueError, match=told):
            packed.picture(row, SIZE, np.random.default_rng(0))
    hostile: dict[str, Any] = {
        "labels": np.array([2**31 - 1] * 8, np.int32),  # a table of as many labels would take 16 GB
        "label_starts": np.arange(8, dtype=np.uint64),
        "caption_starts": np.array([0, 2**40], np.uint64),
        "rows_of_label_starts": np.zeros((2, 2), np.uint64),
        "key_starts": np.array(["a"] * 9),
    }
    for name, values in hostile.items():
        content = (folder / f"{name}.npy").read_bytes()
        np.save(folder / f"{name}.npy", values)
        with pytest.raises(ValueError, match=r"index/train is damaged \("):
            Packed("train", root=copy)
        (folder / f"{name}.npy").write_bytes(content)


def batches(packed: Packed) -> PairedBatches:
    vocabulary = Vocabulary.of(packed.captions(), max_words=8)
    return PairedBatches(packed, vocabulary, num_views=2, batch_size=4, image_size=SIZE, seed=0)


@pytest.mark.parametrize(("start", "num_workers"), [("fork", 2), ("spawn", 1)])
def test_workers_read_what_one_process_reads(packed_birds, start, num_workers):
    packed = Packed("train", root=packed_birds)
    alone = batches(packed)
    expected = [alone[step].views[1].image for step in range(4)]  # files are open when the workers begin
    context = multiprocessing.get_context(start)
    loader = DataLoader(
        alone, batch_size=None, sampler=range(4), num_workers=num_workers, multiprocessing_context=context
    )
    for batch, image in zip(loader, expected, strict=True):
        assert torch.equal(batch.views[1].image, image)


def test_a_copy_for_another_process_is_small(packed_birds):
    packed = Packed("train", root=packed_birds)
    pickled = pickle.dumps(packed)
    assert len(pickled) < 300
    assert list(pickle.loads(pickled).keys) == list(packed.keys)


def test_more_shards_than_are_kept_open(packed_birds, monkeypatch):
    monkeypatch.setattr("sclgan.data.packs.read._MAX_OPEN", 2)
    packed = Packed("train", root=packed_birds)
    first = [packed.sample(row).image for row in range(8)]
    assert [packed.sample(row).image for row in range(8)] == first


def test_pixels_do_not_depend_on_the_decoder(packed_birds, monkeypatch):
    packed = Packed("train", root=packed_birds)
    fast = [packed.picture(row, SIZE, np.random.default_rng(row)).pixels for row in range(8)]
    monkeypatch.setattr(decode, "simplejpeg", None)
    for row, pixels in enumerate(fast):
        np.testing.assert_array_equal(packed.picture(row, SIZE, np.random.default_rng(row)).pixels, pixels)


def test_progress_is_told(birds, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        pack([Cub("test", root=birds)], tmp_path / "cub", size=SIZE, samples_per_shard=2)
    assert "packed cub, test: 1 of 2 shards" in caplog.text
