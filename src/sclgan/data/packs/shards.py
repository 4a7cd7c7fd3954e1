"""WebDataset shards: tar files in which the files of one sample lie side by side and share a name.

000000007.jpg    the picture (jpg, jpeg, png or webp)
000000007.json   {"key": ..., "captions": [...], "labels": [...]}; "caption", "text" and "label" are read too
000000007.txt    a caption, where the JSON has none; 000000007.cls a label: as img2dataset and others write them

Nothing is ever extracted, so that names, links and devices in a stranger's file can do no harm.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sclgan.data.sets.photographs import usable
from sclgan.data.types import Sample

PICTURES = ("jpg", "jpeg", "png", "webp")
_TEXTS = ("json", "txt", "cls")
_MAX_TEXT = 2**20  # bytes; a caption is no book
_MAX_PICTURE = 2**28  # bytes
_NAME = re.compile(r"(?P<key>(?:.*/)?[^/.]+)\.(?P<ending>[^/]+)")  # up to the first dot, as webdataset reads names
_BLOCK = 512  # bytes: a tar file is made of such


@dataclass(frozen=True)
class Row:
    """A sample in a shard: where the picture's bytes are, and what is true of it."""

    key: str
    offset: int
    size: int
    captions: tuple[str, ...]
    labels: tuple[int | str, ...]


@dataclass(frozen=True)
class Scan:
    """What a shard holds, and what was left out of it."""

    rows: list[Row]
    problems: list[str]
    num_bytes: int
    sha256: str


def scan(path: Path) -> Scan:
    """Reads a shard from end to end; of the samples with problems it says so and leaves them out.

    Raises:
        ValueError: it is no tar file, compressed, truncated or damaged; the message says where.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for name, files, strange in _samples(path):
        problems += [f"{path.name}: {one}" for one in strange]
        try:
            if files:
                rows.append(_row(name, files))
        except ValueError as error:
            problems.append(f"{path.name}: {name}: {error}")
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return Scan(rows, problems, path.stat().st_size, checksum)


File = tuple[int, int, bytes]
"""Offset and size in the shard, and the content where it is text."""


def _samples(path: Path) -> Iterator[tuple[str, dict[str, File], list[str]]]:
    """Name, files by their ending, and complaints, of each run of files with one name."""
    current = ""
    files: dict[str, File] = {}
    strange: list[str] = []
    for info, content in _members(path):
        if not info.isreg() or info.issparse():
            strange.append(f"{info.name} is no plain file and is left out")
            continue
        parts = _NAME.fullmatch(info.name)
        if parts is None:
            continue  # a file beside the samples, such as a README
        if parts["key"] != current:
            yield current, files, strange
            current, files, strange = parts["key"], {}, []
        ending = parts["ending"].lower()
        if ending in files:
            strange.append(f"{info.name} is there twice; the first is taken")
        else:
            files[ending] = (info.offset_data, info.size, content)
    yield current, files, strange


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """The members of a tar file with the content of the short texts among them."""
    length = path.stat().st_size
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
                if info.size < 0 or info.offset_data + info.size > length or tar.offset <= info.offset:
                    raise ValueError(f"{info.name} claims {info.size} bytes from byte {info.offset_data} on")
                content = b""
                if info.isreg() and info.name.lower().endswith(_TEXTS) and info.size <= _MAX_TEXT:
                    file.seek(info.offset_data)
                    content = file.read(info.size)
                yield info, content
            file.seek(tar.offset)
            if file.read(_BLOCK).strip(b"\0"):  # tarfile takes a broken header for the end
                raise ValueError(f"what begins at byte {tar.offset} is no tar header")
    except (tarfile.TarError, ValueError, EOFError, OverflowError) as error:
        packed = " (a compressed file cannot be read at random: unpack it to .tar)" if path.suffix != ".tar" else ""
        raise ValueError(f"{path} is damaged or no tar file: {error}{packed}; get or pack it again") from error


def _row(name: str, files: Mapping[str, File]) -> Row:
    """A sample of its files.

    Raises:
        ValueError: it lacks something, or something in it is not what it should be.
    """
    ending = next((ending for ending in PICTURES if ending in files), None)
    if ending is None:
        raise ValueError(f"no picture beside {', '.join(sorted(files))}; known are {', '.join(PICTURES)}")
    for text in _TEXTS:
        if text in files and files[text][1] > _MAX_TEXT:
            raise ValueError(f"its .{text} has {files[text][1]:,} bytes; at most {_MAX_TEXT:,} are read")
    texts = {text: files[text][2] for text in _TEXTS if text in files}
    key, captions, labels = said(name, texts)
    offset, size, _ = files[ending]
    if size > _MAX_PICTURE:
        raise ValueError(f"its .{ending} has {size:,} bytes; at most {_MAX_PICTURE:,} are read")
    return Row(key, offset, size, captions, labels)


def said(name: str, files: Mapping[str, bytes]) -> tuple[str, tuple[str, ...], tuple[int | str, ...]]:
    """Key, captions and labels that a sample's .json, .txt and .cls give; captions without a word are left out.

    Raises:
        ValueError: no caption is left, or a file or field is not what it should be.
    """
    try:
        content: Any = json.loads(files["json"]) if "json" in files else {}
        text = files["txt"].decode() if "txt" in files else None
        label = files["cls"].decode().strip() if "cls" in files else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its texts are not JSON in UTF-8 ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"its .json holds no object but {str(content)[:40]!r}")
    captions = content.get("captions", content.get("caption", content.get("text", text)))
    captions = [captions] if isinstance(captions, str) else [] if captions is None else captions
    if not isinstance(captions, list) or not all(isinstance(one, str) for one in captions):
        raise ValueError(f"its caption is {str(captions)[:40]!r}; expected a text, or a list of them")
    kept, _ = usable(captions)
    if not kept:
        raise ValueError("it has no caption with a word")
    labels = content.get("labels", content.get("label", int(label) if label and label.isdecimal() else label))
    labels = labels if isinstance(labels, list) else [] if labels is None else [labels]
    if not all(isinstance(one, str) or (type(one) is int and one >= 0) for one in labels):
        raise ValueError(f"its labels are {str(labels)[:40]!r}; expected names or numbers from 0 on")
    key = content.get("key", name)
    key = key if isinstance(key, str) and key else name
    try:
        "".join([key, *kept, *map(str, labels)]).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"its texts hold half a character ({error})") from error
    return key, kept, tuple(dict.fromkeys(labels))


def write_shard(path: Path, samples: Sequence[tuple[int, Sample]]) -> None:
    """Writes numbered samples as a shard; the same samples give the same bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, sample in samples:
            ending = "png" if is_png(sample.image) else "jpg"
            said = {"key": sample.key, "captions": sample.captions, "labels": sample.labels, "split": sample.split}
            text = json.dumps(said, ensure_ascii=False).encode()
            for name, content in ((f"{number:09d}.{ending}", sample.image), (f"{number:09d}.json", text)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n\x1a\n")
