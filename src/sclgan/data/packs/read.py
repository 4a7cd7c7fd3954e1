"""A pack, or any indexed folder of shards, as a data set: random access by row and by label, without loading it."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from sclgan.data.packs.decode import training_pixels
from sclgan.data.packs.folder import DATASET, read_dataset
from sclgan.data.packs.index import Index
from sclgan.data.packs.texts import as_label
from sclgan.data.printable import printable
from sclgan.data.types import Picture, Sample
from sclgan.files import max_file_bytes, too_large

_MAX_OPEN = 64  # shards that are kept open in a process


class Packed:
    """One split of the folder `root`, a `Source` under the name of the data set in it.

    Labels, keys and captions stay in mapped files, which processes share; pictures are read on demand.
    A copy for another process opens the files anew.

    Raises:
        FileNotFoundError: the folder, or a shard, does not exist.
        ValueError: the split does not exist, or a file is damaged.
    """

    composes = False
    plain_backgrounds = False
    credits: Sequence[str] = ()

    def __init__(self, split: str, *, root: str | Path) -> None:
        self.root = Path(root)
        content = read_dataset(self.root)
        if split not in content["splits"]:
            raise ValueError(f"{root} has no split {split!r}; it has {printable(', '.join(content['splits']))}")
        described = content["splits"][split]
        self.name: str = content["name"]
        self.split = split
        self.label_names: Sequence[str] = described["label_names"]
        self._numbers_are_labels = "packed" in content
        self._index = Index(self.root / "index" / split)
        self.labels: Sequence[tuple[int, ...]] = self._index.labels
        self.keys: Sequence[str] = self._index.keys
        self._shards: Sequence[str] = [shard["file"] for shard in described["shards"]]
        self._open: dict[int, int] = {}
        self._where = f"{split} in {root}"
        num_rows, num_labels = sum(shard["num_samples"] for shard in described["shards"]), len(self.label_names)
        if (len(self._index), self._index.num_labels) != (num_rows, num_labels):
            raise ValueError(
                f"{self._index.folder} has {len(self._index)} rows and {self._index.num_labels} labels, "
                f"{self.root / DATASET} has {num_rows} and {num_labels}: index or pack the folder again"
            )

    def __reduce__(self) -> tuple[object, ...]:
        return partial(Packed, root=self.root), (self.split,)

    def __len__(self) -> int:
        return len(self._index)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` with one of its captions; the same `rng` gives the crop and caption of the original data set.

        `augment` crops at random and flips every other picture; without it the crop is in the middle. Pictures that
        were packed for another size are resized first, which takes several times as long.
        """
        caption, *draws = rng.random(4).tolist()
        name = f"row {index} of {self._where}"
        pixels = training_pixels(self._read(index), size, draws if augment else None, name=name)
        return Picture(pixels, self._index.caption(index, caption))

    def captions(self) -> Iterator[str]:
        """Every caption of every row."""
        return self._index.all_captions()

    @property
    def label_of(self) -> Mapping[int | str, int]:
        """The number of the label that each number or name in the shards means."""
        if self._numbers_are_labels:
            return {label: label for label in range(len(self.label_names))}
        return {as_label(name): number for number, name in enumerate(self.label_names)}

    @property
    def shards(self) -> Sequence[Path]:
        """The files of the split."""
        return [self.root / file for file in self._shards]

    def rows_of_label(self, label: int) -> Int[np.ndarray, " n"]:
        """The rows that have a label, in order; nothing is copied."""
        return self._index.rows_of_label(label)

    def sample(self, index: int) -> Sample:
        """Row `index` as it is stored."""
        captions = tuple(self._index.captions(index))
        return Sample(bytes(self._read(index)), captions, self.labels[index], self.split, self.keys[index])

    def _read(self, index: int) -> bytearray:
        """The bytes of a picture. Reads state their offset, so that processes can share the open files."""
        shard, size, offset = self._index.pictures[index].tolist()
        limit = max_file_bytes()
        if shard >= len(self._shards) or size > limit:
            claims = too_large(size, limit) if shard < len(self._shards) else f"to be in shard {shard}"
            raise ValueError(f"{self._index.folder}: row {index} claims {claims}; {self._todo}")
        if shard not in self._open:
            if len(self._open) >= _MAX_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            # Without blocking: opening a pipe in place of a shard would wait for ever.
            self._open[shard] = os.open(self.root / self._shards[shard], os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(self._open[shard])
        if not stat.S_ISREG(status.st_mode) or offset + size > status.st_size:
            raise ValueError(f"{self.root / printable(self._shards[shard])} is cut off: {self._todo}")
        content = bytearray(size)
        os.preadv(self._open[shard], [content], offset)
        return content

    @property
    def _todo(self) -> str:
        return f"`sclgan data verify {self.root}` says what else is wrong"

    def __del__(self) -> None:
        for descriptor in getattr(self, "_open", {}).values():
            os.close(descriptor)
