"""The index of a pack: the place of each row's picture, its captions, labels and key, mapped from files.

Opening maps the files and reads only the labels, so that a million rows cost the memory and the time of a hundred;
all processes of a machine share the pages that are read.

pictures.npy             shard, offset and size of each row
labels.npy + starts      the labels of each row            rows_of_label.npy + starts      the rows of each label
keys.bin + starts        the key of each row, in UTF-8
captions.bin + starts    every caption in UTF-8            captions_of_row.npy             the first of each row
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import SupportsIndex, TypeVar, overload

import numpy as np
from jaxtyping import Int

from sclgan.data.packs.shards import Row

ARRAYS = (
    *("pictures", "labels", "label_starts", "key_starts", "caption_starts", "captions_of_row"),
    *("rows_of_label", "rows_of_label_starts"),
)
FILES = frozenset({*(f"{name}.npy" for name in ARRAYS), "keys.bin", "captions.bin"})
"""The files of the index of one split."""
PICTURE = np.dtype([("shard", "<u4"), ("size", "<u4"), ("offset", "<u8")])
_TODO = "copy the folder again, or index it again, or pack into a new one"
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
        self.folder = folder
        try:
            arrays = {name: _mapped(folder / f"{name}.npy") for name in ARRAYS}
            keys, captions = _bytes(folder / "keys.bin"), _bytes(folder / "captions.bin")
            problem = _contradiction(arrays, len(keys), len(captions))
        except Exception as error:  # damaged files end in almost any error
            raise ValueError(f"{folder} is not an index of this version ({error}): {_TODO}") from error
        if problem:
            raise ValueError(f"{folder} is damaged ({problem}): {_TODO}")
        self.pictures = arrays["pictures"]
        self.labels = Ragged(arrays["labels"], arrays["label_starts"], _numbers)
        self.keys = Ragged(keys, arrays["key_starts"], _text)
        self._captions = Ragged(captions, arrays["caption_starts"], _text)
        self._captions_of_row = arrays["captions_of_row"]
        self._rows_of_label, self._rows_of_label_starts = arrays["rows_of_label"], arrays["rows_of_label_starts"]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def num_labels(self) -> int:
        """How many labels have rows, or could have."""
        return len(self._rows_of_label_starts) - 1

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
    """The array in a .npy file, read where it is touched."""
    # As a plain array: memmap's own indexing is slow.
    return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def _bytes(path: Path) -> np.ndarray:
    """The bytes of a file, read where they are touched."""
    return np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.zeros(0, np.uint8)


def _contradiction(arrays: Mapping[str, np.ndarray], num_key_bytes: int, num_caption_bytes: int) -> str:
    """The first contradiction between the arrays of an index, or nothing; of the large ones labels alone are read."""
    num_rows, labels = len(arrays["pictures"]), arrays["labels"]
    for name, values in arrays.items():
        kinds = (PICTURE,) if name == "pictures" else (np.int32,) if name == "labels" else (np.uint64, np.int64)
        if values.ndim != 1 or values.dtype not in kinds:
            return f"{name}.npy has the kind {values.dtype} and the shape {values.shape}"
    for name, num_items, end in (
        ("label_starts", num_rows, len(labels)),
        ("key_starts", num_rows, num_key_bytes),
        ("captions_of_row", num_rows, len(arrays["caption_starts"]) - 1),
        ("caption_starts", None, num_caption_bytes),
        ("rows_of_label_starts", None, len(arrays["rows_of_label"])),
    ):
        starts = arrays[name]
        if len(starts) < 1 or (num_items is not None and len(starts) != num_items + 1) or int(starts[-1]) != end:
            return f"{name}.npy does not fit {num_rows} rows"
    num_labels = len(arrays["rows_of_label_starts"]) - 1
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_labels:
        return f"its labels run from {labels.min()} to {labels.max()}, expected 0 to {num_labels - 1}"
    return ""


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
        """Closes the files of texts."""
        self.keys.file.close()
        self.captions.file.close()


class _TextWriter:
    """Writes texts to a file one after the other, and keeps where each begins."""

    def __init__(self, path: Path) -> None:
        self.file, self.starts = path.open("wb"), array("Q", [0])

    def write(self, text: str) -> None:
        self.file.write(content := text.encode())
        self.starts.append(self.starts[-1] + len(content))
