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
from sclgan.data.printable import printable

ARRAYS = (
    *("pictures", "labels", "label_starts", "key_starts", "caption_starts", "captions_of_row"),
    *("rows_of_label", "rows_of_label_starts"),
)
FILES = frozenset({*(f"{name}.npy" for name in ARRAYS), "keys.bin", "captions.bin"})
"""The files of the index of one split."""
PICTURE = np.dtype([("shard", "<u4"), ("size", "<u4"), ("offset", "<u8")])
_TODO = "copy the folder again, or index it again, or pack into a new one"
_NPY = b"\x93NUMPY\x01\x00"
"""Beginning of a .npy file whose header has at most 64 KiB: that of later versions may claim 4 GB, which are read."""
_LONGEST = 200  # characters of another library's message
_CHUNK = 4096  # rows that are turned into Python values at once

Item = TypeVar("Item")


class Ragged(Sequence[Item]):
    """A sequence of items of any lengths, made when asked for: item i is `make(values[starts[i]:starts[i + 1]])`.

    `folder` is the index that the arrays are from, which is named where an item cannot be made of them.
    """

    def __init__(
        self, values: np.ndarray, starts: np.ndarray, make: Callable[[np.ndarray], Item], folder: Path
    ) -> None:
        self.values, self.starts, self.make, self.folder = values, starts, make, folder

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
        return self._item(first, last)

    def __iter__(self) -> Iterator[Item]:
        for chunk in range(0, len(self), _CHUNK):
            for first, last in pairwise(self.starts[chunk : chunk + _CHUNK + 1].tolist()):
                yield self._item(first, last)

    def _item(self, first: int, last: int) -> Item:
        try:
            _check_range(first, last, len(self.values))
            return self.make(self.values[first:last])
        except ValueError as error:
            raise _damaged(self.folder, error) from error


def _check_range(first: int, last: int, end: int) -> None:
    if not 0 <= first <= last <= end:
        raise ValueError(f"an item runs from {first} to {last}, of {end} values")


def _damaged(folder: Path, problem: object) -> ValueError:
    return ValueError(f"{folder} is damaged ({problem}): {_TODO}")


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
            told = printable(error)[:_LONGEST]
            raise ValueError(f"{folder} is not an index of this version ({told}): {_TODO}") from error
        if problem:
            raise _damaged(folder, problem)
        self.pictures = arrays["pictures"]
        self.labels = Ragged(arrays["labels"], arrays["label_starts"], _numbers, folder)
        self.keys = Ragged(keys, arrays["key_starts"], _text, folder)
        self._captions = Ragged(captions, arrays["caption_starts"], _text, folder)
        self._captions_of_row = arrays["captions_of_row"]
        self._rows_of_label, self._rows_of_label_starts = arrays["rows_of_label"], arrays["rows_of_label_starts"]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def num_labels(self) -> int:
        """The number of labels, those without rows included."""
        return len(self._rows_of_label_starts) - 1

    def captions(self, row: int) -> Sequence[str]:
        """The captions of a row."""
        return self._captions[slice(*self._places_of_captions(row))]

    def caption(self, row: int, draw: float) -> str:
        """The caption of a row that `draw` in [0, 1) chooses, all equally likely."""
        first, last = self._places_of_captions(row)
        drawn: str = self._captions[first + int(draw * (last - first))]
        return drawn

    def all_captions(self) -> Iterator[str]:
        """Every caption of every row."""
        return iter(self._captions)

    def rows_of_label(self, label: int) -> Int[np.ndarray, " n"]:
        """The rows that have a label, in order: a view of the mapped file."""
        first, last = self._rows_of_label_starts[label : label + 2].tolist()
        rows = self._rows_of_label[first:last]
        if len(rows) != last - first or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self)):
            raise _damaged(self.folder, f"the rows of label {label} are not among its {len(self)} rows")
        return rows

    def _places_of_captions(self, row: int) -> tuple[int, int]:
        """The first of a row's captions among all, and the first of the next row's."""
        first, last = self._captions_of_row[row : row + 2].tolist()
        if not 0 <= first < last <= len(self._captions):
            raise _damaged(self.folder, f"row {row} has the captions {first} to {last} of {len(self._captions)}")
        return first, last


def _mapped(path: Path) -> np.ndarray:
    """The array in a .npy file, read where it is touched."""
    _check_file(path)
    with path.open("rb") as file:
        if file.read(len(_NPY)) != _NPY:
            raise ValueError(f"{path.name} is not a .npy file of version 1.0")
    # As a plain array: memmap's own indexing is slow.
    return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def _bytes(path: Path) -> np.ndarray:
    """The bytes of a file, read where they are touched."""
    _check_file(path)
    return np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.zeros(0, np.uint8)


def _check_file(path: Path) -> None:
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError(f"{path.name} is missing, or not a file")


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
