"""A folder of picture files, as any program leaves them: the pictures, and captions and labels where they are there."""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from sclgan.data.images import decode

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"})
METADATA = "metadata.jsonl"


class PictureFolder:
    """The pictures in a folder and the folders below, in the order of their paths; hidden files are left out.

    A caption is the "text" of the picture's line in `metadata.jsonl` ({"file_name": ..., "text": ..., "label": ...}
    a line, as Hugging Face's ImageFolder has it), or the first line of the .txt file beside the picture; all pictures
    have one or none has. A label is the line's "label", or else the folder below `root` that holds the picture.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ValueError: only some pictures have a caption or a label; `metadata.jsonl` is damaged.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"{root} is no run folder and no folder of pictures: there is no such folder")
        self.root = root
        self.files = tuple(sorted(_pictures_below(root)))
        if not self.files:
            raise FileNotFoundError(f"{root} holds no picture: expected {', '.join(sorted(SUFFIXES))}")

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def captions(self) -> tuple[str, ...] | None:
        """A caption of each picture, or None."""
        texts = [entry.get("text") or _beside(path) for path, entry in zip(self.files, self._entries, strict=True)]
        return self._all_or_none(texts, "caption")

    @cached_property
    def label_names(self) -> tuple[str, ...] | None:
        """The label of each picture, or None."""
        of_entries = self._all_or_none([entry.get("label") for entry in self._entries], "label")
        if of_entries is not None:
            return of_entries
        return self._all_or_none([_folder(path.relative_to(self.root)) for path in self.files], "label")

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The label of each picture as a number; pictures without have one of their own each."""
        names = self.label_names or [str(path) for path in self.files]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return tuple(numbers[name] for name in names)

    @cached_property
    def _entries(self) -> list[Mapping[str, Any]]:
        """The line of `metadata.jsonl` for each picture, {} where it has none."""
        path = self.root / METADATA
        entries: dict[str, Mapping[str, Any]] = {}
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
            try:
                entry = json.loads(line)
                entries[Path(entry["file_name"]).as_posix()] = entry
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f'{path}, line {number}: expected {{"file_name": ..., "text": ...}}') from error
        return [entries.get(file.relative_to(self.root).as_posix(), {}) for file in self.files]

    def _all_or_none(self, values: Sequence[Any], what: str) -> tuple[str, ...] | None:
        lacking = [path for path, value in zip(self.files, values, strict=True) if value is None]
        if lacking and len(lacking) < len(values):
            raise ValueError(
                f"{len(lacking)} of {len(values)} pictures have no {what}, such as {lacking[0]}: "
                f"give every picture one, or none"
            )
        return None if lacking else tuple(map(str, values))


def decoded_ahead(
    paths: Sequence[Path], num_workers: int | None = None
) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """(place, pixels in RGB) of each file in order, decoded by threads ahead of their use.

    Transparency is dropped and EXIF orientation is ignored, as by the metrics' reference codes. None is a thread for
    each core, at most 8.

    Raises:
        ValueError: a file is truncated or no picture; it is named.
    """
    num_workers = num_workers or min(8, os.cpu_count() or 1)
    waiting: deque[tuple[int, Future[np.ndarray]]] = deque()
    with ThreadPoolExecutor(num_workers) as threads:
        try:
            for place, path in enumerate(paths):
                waiting.append((place, threads.submit(_pixels, path)))
                if len(waiting) > 16 * num_workers:
                    first, pixels = waiting.popleft()
                    yield first, pixels.result()
            while waiting:
                first, pixels = waiting.popleft()
                yield first, pixels.result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(decode(path))


def _pictures_below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(folder, name)


def _beside(path: Path) -> str | None:
    try:
        lines = path.with_suffix(".txt").read_text().strip().splitlines()
    except FileNotFoundError:
        return None
    return lines[0].strip() if lines else None


def _folder(path: Path) -> str | None:
    return path.parts[0] if len(path.parts) > 1 else None
