"""What a picture file shows: its size and a digest of its pixels, decoded once per process, and files that are copies.

A copy may have other bytes: a PNG that was compressed again, or a JPEG with other metadata.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from sclgan.data.images import decode, size_of

T = TypeVar("T")
_AHEAD = 256  # files that are asked about at a time
_SCAN, _ADOBE, _COMMENT = 0xDA, 0xEE, 0xFE  # kinds of segments in a JPEG file


class Shown(NamedTuple):
    """Width and height in pixels as a viewer shows them, and the SHA-256 of size and pixels."""

    size: tuple[int, int]
    digest: bytes


def shown(path: Path) -> Shown:
    """What the picture shows; a file that has not changed is not decoded again.

    Raises:
        FileNotFoundError, ValueError: as `images.decode`.
    """
    status = path.stat()
    return _shown(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2**20)
def _shown(path: Path, _changed: int, _num_bytes: int) -> Shown:
    image = decode(path)
    return Shown(image.size, hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest())


def on_all_cores(function: Callable[[Path], T], paths: Sequence[Path]) -> Iterator[T | Exception]:
    """The function of each path in order, computed by threads; errors of files are values."""

    def called(path: Path) -> T | Exception:
        try:
            return function(path)
        except (ValueError, OSError) as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _AHEAD):
            yield from pool.map(called, paths[start : start + _AHEAD])


def copies(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Name -> first name, in alphabetical order, of a file with the same pixels; pictures without a copy, and files
    that cannot be read, are left out.

    Pictures are compared whose headers give the same width and height, turned or not. Where all of them are JPEG, their
    coded data are compared and nothing is decoded: JPEGs of equal pixels and other data do not occur in practice.
    """
    groups = []
    for group in _divided(sorted(names), root, lambda path: tuple(sorted(size_of(path)))):
        are_jpeg = all(_is_jpeg(root / name) for name in group)
        groups += _divided(group, root, _jpeg_data if are_jpeg else lambda path: shown(path).digest)
    return {name: group[0] for group in groups for name in group[1:]}


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"


def _jpeg_data(path: Path) -> bytes:
    """The SHA-256 of a JPEG file without its metadata: comments and application segments, except Adobe's, which says
    how colours are coded."""
    content = path.read_bytes()
    digest, place = hashlib.sha256(), 2
    while content[place : place + 1] == b"\xff" and (kind := int.from_bytes(content[place + 1 : place + 2])) != _SCAN:
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4])
        if kind == _ADOBE or not (0xE0 <= kind <= 0xEF or kind == _COMMENT):
            digest.update(content[place:end])
        place = end
    digest.update(content[place:])
    return digest.digest()


def _divided(names: Sequence[str], root: Path, key: Callable[[Path], Hashable]) -> list[list[str]]:
    """The names in groups by a key of their files, without those that are alone."""
    of_key: dict[Hashable, list[str]] = defaultdict(list)
    for name, value in zip(names, on_all_cores(key, [root / name for name in names]), strict=True):
        if not isinstance(value, Exception):  # whoever reads the picture says what is wrong with it
            of_key[value].append(name)
    return [group for group in of_key.values() if len(group) > 1]
