"""Pictures of your own: a folder with a table in Hugging Face's convention, or with a caption file beside each picture.

`docs/your-own-data.md` shows how to make one; `files.py` says which layouts are read.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sclgan.data.needed import Needed
from sclgan.data.sets.own.files import first_of, read
from sclgan.data.sets.own.table import SPLITS
from sclgan.data.sets.photographs import Photo
from sclgan.data.types import Picture, Sample

log = logging.getLogger(__name__)

ROOT = "data/pictures"


def needed_files(root: str | Path = ROOT) -> list[Needed]:
    """The files that `Folder` reads."""
    return [Needed("pictures and their captions", "your own", f"put them into {root}, as docs/your-own-data.md shows")]


class Folder:
    """One split of a user's own pictures, a `Source`.

    A row is one picture with its captions; its labels are in the order in which the row names them, the first being the
    dominant one. `label_names` are those of both splits, names in alphabetical order, numbers by size. Data without
    labels train the plain recipes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: something is wrong in it; `sclgan data check` lists everything.
    """

    name = "folder"
    composes = False
    plain_backgrounds = False
    credits: Sequence[str] = ()
    needed_files = staticmethod(needed_files)

    def __init__(self, split: str, *, root: str | Path = ROOT) -> None:
        if split not in SPLITS:
            raise ValueError(f"folder has no split {split!r}; take one of {', '.join(SPLITS)}")
        self.split, self.root = split, Path(root)
        contents = read(self.root)
        if errors := contents.errors:
            raise ValueError(f"{root} cannot be read: {first_of(errors, root)}")
        self.rows = tuple(row for row in contents.rows if row.split == split)
        self._photos = tuple(Photo(self.root / row.name, row.captions, as_stored=False) for row in self.rows)
        names = sorted({label for row in contents.rows for label in row.labels}, key=lambda one: (str(type(one)), one))
        label_of = {name: label for label, name in enumerate(names)}
        self.label_names: Sequence[str] = tuple(map(str, names))
        self.labels: Sequence[tuple[int, ...]] = tuple(tuple(label_of[one] for one in row.labels) for row in self.rows)
        self.keys: Sequence[str] = tuple(row.name for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        """Row `index` with one of its captions.

        `augment` crops at random and flips every other picture; without it the crop is in the middle.
        """
        return self._photos[index].picture(size, rng, augment=augment)

    def captions(self) -> Iterator[str]:
        """Every caption of every row."""
        for row in self.rows:
            yield from row.captions

    def sample(self, index: int) -> Sample:
        """Row `index` as it is stored."""
        return self._photos[index].sample(self.labels[index], self.split, self.keys[index])
