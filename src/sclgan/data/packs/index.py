"""The index of a pack: for every row where its picture lies, its captions, labels and key, mapped from files.

Opening maps the files and reads none of them, so that a million rows cost the memory and the time of a hundred; what
is read is shared by all processes of a machine.

pictures.npy             shard, offset and size of each row
labels.npy + starts      the labels of each row            rows_of_label.npy + starts      the rows of each label
keys.bin + starts        the key of each row, in UTF-8
captions.bin + starts    every caption in UTF-8            captions_of_row.npy             where each row's begin
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import SupportsIndex, TypeVar, overload

import numpy as np
from jaxtyping import Int

from sclgan.data.packs.shards import Row

PICTURE = np.dtype([("shard", "<u4"), ("size", "<u4"), ("offset", "<u8")])
_CHUNK = 4096  # rows that are turned into Python values at once

Item = TypeVar("Item")


class Ragged(Sequence[Item]):
    """A sequence of items of any lengths, made when asked for: item i is `make(values[starts[i]:starts[i + 1]])`."""

    def __init__(self, values: np.ndarray, starts: np.ndarray, make: Callable[[np.ndarray], Item]) -> None:
        self.values, self.starts, self.make = values, starts, make

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Item | Sequence[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        first, last = self.starts[(place := range(len(self))[index]) : place + 2].tolist()
        return self.make(self.values[first:last])

    def __iter__(self) -> Iterator[Item]:
        for chunk in range(0, len(self), _CHUNK):
            for first, last in pairwise(self.starts[chunk : chunk + _CHUNK + 1].tolist()):
                yield self.make(self.values[first:last])


def _numbers(values: np.ndarray) -> tuple[int, ...]:
    return tuple(values.tolist())


def _text(values: np.ndarray) -> str:
    return bytes(values).decode()


class Index:
    """The mapped index of one split.

    Raises:
        ValueError: its files are missing, damaged or do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.pictures = _mapped(folder / "pictures.npy")
            self.labels = Ragged(_mapped(folder / "labels.npy"), _mapped(folder / "label_starts.npy"), _numbers)
            self.keys = Ragged(_mapped(folder / "keys.bin"), _mapped(folder / "key_starts.npy"), _text)
            self._captions = Ragged(_mapped(folder / "captions.bin"), _mapped(folder / "caption_starts.npy"), _text)
            self._captions_of_row = _mapped(folder / "captions_of_row.npy")
            self._rows_of_label = _mapped(folder / "rows_of_label.npy")
            self._rows_of_label_starts = _mapped(folder / "rows_of_label_starts.npy")
            one_length = len(self.pictures) == len(self.labels) == len(self.keys) == len(self._captions_of_row) - 1
            if not one_length or self.pictures.dtype != PICTURE:
                raise ValueError("its files do not belong together")
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{folder} is no index of this version ({error}): `sclgan data index` makes it") from error

    def __len__(self) -> int:
        return len(self.pictures)

    def captions(self, row: int) -> Sequence[str]:
        """The captions of a row."""
        first, last = self._captions_of_row[row : row + 2].tolist()
        return self._captions[first:last]

    def caption(self, row: int, draw: float) -> str:
        """The caption of a row that a number in [0, 1) draws, each as likely."""
        first, last = self._captions_of_row[row : row + 2].tolist()
        drawn: str = self._captions[first + int(draw * (last - first))]
        return drawn

    def all_captions(self) -> Iterator[str]:
        """Every caption of every row."""
        return iter(self._captions)

    def rows_of_label(self, label: int) -> Int[np.ndarray, " n"]:
        """The rows that have a label, in order: a view of the mapped file."""
        first, last = self._rows_of_label_starts[label : label + 2].tolist()
        return self._rows_of_label[first:last]


def _mapped(path: Path) -> np.ndarray:
    """A file as an array that is read where it is touched."""
    if path.suffix == ".npy":
        # As a plain array: memmap's own indexing is slow.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    return np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.zeros(0, np.uint8)


class IndexWriter:
    """Writes the index of a split into a new folder, row by row; labels are numbered when all are known."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.pictures = array("Q")
        self.labels, self.label_starts = array("i"), array("Q", [0])
        self.captions_of_row = array("Q", [0])
        self.keys, self.captions = _TextWriter(folder / "keys.bin"), _TextWriter(folder / "captions.bin")

    def add(self, shard: int, row: Row, labels: Iterable[int]) -> None:
        """The next row, of the shard of that number, with preliminary numbers for its labels."""
        self.pictures.extend((shard, row.size, row.offset))
        self.labels.extend(labels)
        self.label_starts.append(len(self.labels))
        self.keys.write(row.key)
        for caption in row.captions:
            self.captions.write(caption)
        self.captions_of_row.append(len(self.captions.starts) - 1)

    def finish(self, final: Int[np.ndarray, " labels"], num_labels: int) -> None:
        """Writes the arrays; `final` holds the final number of each preliminary one, below `num_labels`."""
        table = np.array(self.pictures).reshape(-1, 3)
        pictures = np.empty(len(table), PICTURE)
        pictures["shard"], pictures["size"], pictures["offset"] = table.T
        starts = np.array(self.label_starts)
        labels = final.astype(np.int32)[np.array(self.labels)]
        row_of = np.repeat(np.arange(len(pictures)), np.array(np.diff(starts), np.int64))
        counts = np.bincount(labels, minlength=num_labels)
        arrays = {
            "pictures": pictures,
            "labels": labels,
            "label_starts": starts,
            "key_starts": np.array(self.keys.starts),
            "caption_starts": np.array(self.captions.starts),
            "captions_of_row": np.array(self.captions_of_row),
            "rows_of_label": row_of[np.argsort(labels, kind="stable")],
            "rows_of_label_starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64),
        }
        for name, values in arrays.items():
            np.save(self.folder / f"{name}.npy", values, allow_pickle=False)

    def close(self) -> None:
        """Ends the files of texts."""
        self.keys.file.close()
        self.captions.file.close()


class _TextWriter:
    """Texts one after the other into a file, with where each begins."""

    def __init__(self, path: Path) -> None:
        self.file, self.starts = path.open("wb"), array("Q", [0])

    def write(self, text: str) -> None:
        self.file.write(content := text.encode())
        self.starts.append(self.starts[-1] + len(content))
