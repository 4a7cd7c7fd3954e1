"""The files of an index and `dataset.json`, damaged or foreign: read, or refused in a line that names the folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sclgan.data.packs.folder import index_folder
from sclgan.data.packs.index import FILES
from sclgan.data.packs.read import Packed
from sclgan.data.packs.verify import verify
from test_data_packs_shards import picture, write

FILES_OF_A_FOLDER = ["dataset.json", *(f"index/train/{name}" for name in sorted(FILES))]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("shards")
    said = '{"captions": ["a café picture", "a kite"], "labels": ["kite", "boat"]}'.encode()
    write(root / "0.tar", {k: v for i in range(4) for k, v in ((f"{i}.jpg", picture(i)), (f"{i}.json", said))})
    index_folder(root, name="web")
    return root


def read_everything(root: Path) -> None:
    packed = Packed("train", root=root)
    _ = [*packed.captions(), *packed.keys, *packed.labels, *packed.label_of]
    for label in range(len(packed.label_names)):
        for row in packed.rows_of_label(label).tolist():
            packed.picture(row, 16, np.random.default_rng(0))
    for row in range(len(packed)):
        packed.sample(row)


def damages(path: Path) -> Iterator[bytes]:
    """The file cut off, overwritten, with other bytes here and there, and with numbers that lead elsewhere."""
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    yield from (b"", whole[:9], whole[:-1], whole + b"x", b"\0" * len(whole), b"\xff" * len(whole), b"\n[]")
    for _ in range(30):
        changed = bytearray(whole)
        for place in rng.integers(len(whole), size=2).tolist():
            changed[place] = int(rng.integers(256))
        yield bytes(changed)
    if path.suffix == ".npy":
        for number in (0, 1, 2**31 - 1, 2**63 - 1, 2**64 - 1):
            for place in (128, 136, len(whole) - 8):
                yield whole[:place] + number.to_bytes(8, "little") + whole[place + 8 :]
        yield whole[:6] + b"\x02\x00" + whole[8:]  # a version whose header may claim 4 GB


@pytest.mark.parametrize("name", FILES_OF_A_FOLDER)
def test_a_damaged_file_is_read_or_refused_in_a_line_that_names_the_folder(name, indexed, tmp_path):
    root = tmp_path / "shards"
    shutil.copytree(indexed, root)
    told = []
    for content in damages(root / name):
        (root / name).write_bytes(content)
        try:
            read_everything(root)
        except (ValueError, OSError) as error:
            told.append(str(error))
    assert len(told) > 5
    assert [line for line in told if str(root) not in line or "\n" in line or len(line) > 600] == []


@pytest.mark.parametrize("name", [*FILES_OF_A_FOLDER, "0.tar"])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused_at_once(name, indexed, tmp_path):
    root = tmp_path / "shards"
    shutil.copytree(indexed, root)
    for make in (os.mkfifo, os.mkdir):
        (root / name).unlink()
        make(root / name)
        with pytest.raises((ValueError, OSError), match="shards"):
            read_everything(root)
        if name != "dataset.json":
            assert len(list(verify(root))) == 1


def test_a_file_that_claims_gigabytes_is_not_read(indexed, tmp_path):
    root = tmp_path / "shards"
    shutil.copytree(indexed, root)
    labels = root / "index" / "train" / "labels.npy"
    labels.write_bytes(b"\x93NUMPY\x02\x00" + (2**32 - 16).to_bytes(4, "little"))
    os.truncate(labels, 2**33)  # with holes: next to nothing on the disk
    with pytest.raises(ValueError, match=r"labels\.npy is not a \.npy file of version 1\.0"):
        Packed("train", root=root)
    os.truncate(root / "dataset.json", 2**33)
    with pytest.raises(ValueError, match=r"8,589,934,592 bytes; at most 67,108,864 are read \(SCLGAN_MAX_FILE_BYTES"):
        Packed("train", root=root)
