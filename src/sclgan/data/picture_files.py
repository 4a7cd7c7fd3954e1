"""A folder of picture files to grade, or to compare with, as any program leaves it."""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sclgan.data.images import decode, size_of
from sclgan.data.sets.own.files import first_of, read
from sclgan.data.sets.own.table import Entry

log = logging.getLogger(__name__)

_AHEAD = 2**26  # pixels that are decoded before they are used
_SHOWN = 5  # notes


class PictureFolder:
    """The pictures in a folder and the folders below, in the order of their paths.

    Files, captions and labels are those of `own.files.read`, the reader of training: from metadata.jsonl (.csv,
    .parquet), or from a .txt file beside each picture and its folder. Of several captions the first is compared with
    the picture, of several labels the first, the dominant one, counts. What is found and not used is logged.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ValueError: it is the folder of a run.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is neither a run folder nor a folder of pictures: it does not exist")
        refuse_run(root)
        contents = read(root, for_training=False)
        self.root = root
        self.rows: Sequence[Entry] = sorted(contents.rows, key=lambda row: Path(row.name))
        self.files = tuple(root / row.name for row in self.rows)
        self._errors = contents.errors
        notes = [str(problem) for problem in contents.problems]
        if not self.files:
            found = f" ({notes[0]})" if notes else ""
            raise FileNotFoundError(f"{root} holds no picture{found}: expected files such as .png and .jpg")
        for note in notes[:_SHOWN]:
            log.warning("%s: %s", root, note)
        if len(notes) > _SHOWN:
            log.warning("%s: %d more such; `sclgan data check %s` lists everything", root, len(notes) - _SHOWN, root)

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def captions(self) -> tuple[str, ...] | None:
        """A caption of each picture, or None where some have none."""
        lacking = self._lacking("caption", [bool(row.captions) for row in self.rows])
        return None if lacking else tuple(row.captions[0] for row in self.rows)

    @cached_property
    def label_names(self) -> tuple[str, ...] | None:
        """The label of each picture, or None where some have none."""
        lacking = self._lacking("label", [bool(row.labels) for row in self.rows])
        return None if lacking else tuple(str(row.labels[0]) for row in self.rows)

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The label of each picture as a number; without labels, each picture has its own."""
        names = self.label_names or [row.name for row in self.rows]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return tuple(numbers[name] for name in names)

    def check(self) -> None:
        """Refuses a folder whose captions and labels are needed and damaged.

        Raises:
            ValueError: a row of the table, or a caption file, has an error; it is named.
        """
        if self._errors:
            raise ValueError(f"captions and labels of {self.root} cannot be read: {first_of(self._errors, self.root)}")

    def _lacking(self, what: str, given: Sequence[bool]) -> bool:
        """Whether not every picture has one; said where only some have."""
        without = [row.name for row, has_one in zip(self.rows, given, strict=True) if not has_one]
        if 0 < len(without) < len(given):
            message = "%s: %d of %d pictures have no %s, such as %s: no %s is used"
            log.warning(message, self.root, len(without), len(given), what, without[0], what)
        return bool(without)


def refuse_run(folder: Path) -> None:
    """Refuses the folder of a run where one of pictures is expected.

    Raises:
        ValueError: it is one.
    """
    if (folder / "recipe.json").is_file():
        raise ValueError(
            f"{folder} is the folder of a run, and its sample grids are not pictures to compare with: write some by "
            f"`sclgan evaluate {folder} --save-pictures FOLDER`, and name that folder"
        )


def decoded_ahead(
    paths: Sequence[Path], num_workers: int | None = None
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """(place, pixels in RGB) of each file in order, decoded by threads ahead of their use.

    Without `num_workers` there is one thread per core, at most 8. Large pictures are decoded less far ahead.

    Raises:
        ValueError: a file is damaged or not a picture; it is named.
    """
    num_workers = num_workers or min(8, os.cpu_count() or 1)
    waiting: deque[tuple[int, int, Future[np.ndarray]]] = deque()
    num_pixels = 0
    with ThreadPoolExecutor(num_workers) as threads:
        try:
            for place, path in enumerate(paths):
                width, height = size_of(path)
                while waiting and (len(waiting) > 16 * num_workers or num_pixels + width * height > _AHEAD):
                    first, size, pixels = waiting.popleft()
                    num_pixels -= size
                    yield first, pixels.result()
                waiting.append((place, width * height, threads.submit(_pixels, path)))
                num_pixels += width * height
            for first, _, pixels in waiting:
                yield first, pixels.result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(decode(path))
