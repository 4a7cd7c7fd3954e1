"""WebDataset shards: tar files in which the files of one sample are side by side and share a name.

000000007.jpg    the picture (jpg, jpeg, png or webp)
000000007.json   {"key": ..., "captions": [...], "labels": [...]}; "caption", "text" and "label" are read too
000000007.txt    a caption per line, if the JSON has none
000000007.cls    a label, if the JSON has none
"""

import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sclgan.data.packs.members import MAX_TEXT, PICTURES, TEXTS, Member, members_of_file
from sclgan.data.packs.texts import Texts, read_texts
from sclgan.data.printable import printable
from sclgan.data.types import Sample
from sclgan.files import max_file_bytes, too_large

_NAME = re.compile(r"(?P<key>(?:.*/)?[^/.]+)\.(?P<ending>[^/]+)", re.DOTALL)
_MAX_ENDINGS = 5  # that are named of those that are not read


@dataclass(frozen=True)
class Row:
    """A sample in a shard: the place of its picture's bytes and a digest of them, and what its texts say."""

    key: str
    offset: int
    size: int
    digest: int
    captions: tuple[str, ...]
    labels: tuple[int | str, ...]


@dataclass(frozen=True)
class Scan:
    """The contents of a shard. `problems` name samples that are left out, `notes` count everything else unused."""

    rows: list[Row]
    problems: list[str]
    notes: list[str]
    num_bytes: int
    sha256: str


def scan(path: Path) -> Scan:
    """Reads a shard from end to end; samples with problems are named and left out.

    Raises:
        ValueError: it is not a tar file, compressed, truncated or damaged; the message says where.
    """
    rows: list[Row] = []
    problems: list[str] = []
    unused = Unused()
    with path.open("rb") as file:
        for group in groups(members_of_file(path), unused):
            problems += [f"{path.name}: {problem}" for problem in group.problems]
            if not group.files:
                continue
            try:
                picture, texts = sample_of(group, unused)
            except LeftOutError:
                continue
            except ValueError as error:
                problems.append(f"{path.name}: {printable(group.name)}: {error}")
                continue
            file.seek(picture.offset)
            digest = hashlib.blake2b(file.read(picture.size), digest_size=8).digest()
            place = (picture.offset, picture.size, int.from_bytes(digest))
            rows.append(Row(texts.key, *place, texts.captions, texts.labels))
        file.seek(0)
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return Scan(rows, problems, [f"{path.name}: {note}" for note in unused.notes()], path.stat().st_size, checksum)


@dataclass
class Group:
    """The files of one name in a shard by their ending, in lower case, and their problems.

    `is_beside` says that the name contains a dot and follows a sample whose name is the part before the dot.
    """

    name: str
    files: dict[str, Member] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    is_beside: bool = False


@dataclass
class Unused:
    """Counts of unused contents of a shard: files by their ending, texts by a description."""

    files: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """A line for each kind."""
        lines = [f"{count:,} {what}" for what, count in self.texts.items()]
        if self.files:
            kinds = [f"{printable(ending)} ({count:,})" for ending, count in self.files.most_common(_MAX_ENDINGS)]
            more = f" and {len(self.files) - _MAX_ENDINGS:,} more kinds" if len(self.files) > _MAX_ENDINGS else ""
            lines.append(
                f"{self.files.total():,} files are not read, with {', '.join(kinds)}{more}: names end at their first "
                f"dot, known endings are {', '.join(PICTURES + TEXTS)}"
            )
        return lines


class LeftOutError(ValueError):
    """Files beside a sample are not a sample of their own; they are counted."""


def groups(members: Iterable[Member], unused: Unused) -> Iterator[Group]:
    """The samples of a shard. Names are cut at their first dot, as WebDataset does, so that 7.seg.png belongs to 7.

    Where that leaves an unknown ending and the last dot a known one, as in "22.05.jpg", the files that share the name
    up to the last dot are a group as well: no two samples become one.
    """
    first, last = Group(""), Group("")  # by the first dot, and by the last
    for member in members:
        parts = _NAME.fullmatch(member.name)
        if not member.is_plain:
            first.problems.append(f"{printable(member.name)} is not a plain file and is left out")
            continue
        if parts is None:
            unused.files["no ending"] += 1
            continue
        ending = parts["ending"].lower()
        if parts["key"] != first.name:
            yield from (group for group in (first, last) if group.files or group.problems)
            first, last = Group(parts["key"]), Group("")
        group = first
        if ending not in PICTURES + TEXTS:
            name, _, ending = member.name.rpartition(".")
            ending = ending.lower()
            if ending not in PICTURES + TEXTS:
                unused.files[f".{parts['ending']}"] += 1
                continue
            if name != last.name:
                if last.files:
                    yield last
                last = Group(name, is_beside=bool(first.files))
            group = last
        if ending in group.files:
            group.problems.append(f"{printable(member.name)} occurs twice; the first is used")
        else:
            group.files[ending] = member
    yield from (group for group in (first, last) if group.files or group.problems)


def sample_of(group: Group, unused: Unused) -> tuple[Member, Texts]:
    """The picture and the texts of a group; unused parts are counted in `unused`.

    Raises:
        LeftOutError: its files belong to the sample before it; they were counted.
        ValueError: a part of it is missing or invalid.
    """
    try:
        picture, texts = _checked(group)
    except ValueError as error:
        if group.is_beside:
            prefix = group.name.rpartition("/")[2].partition(".")[2]
            unused.files.update(f".{prefix}.{ending}" for ending in group.files)
            raise LeftOutError from error
        raise
    unused.texts.update(texts.left_out)
    others = [ending for ending in group.files if ending in PICTURES and group.files[ending] is not picture]
    unused.files.update(f"a second picture (.{ending})" for ending in others)
    return picture, texts


def _checked(group: Group) -> tuple[Member, Texts]:
    ending = next((ending for ending in PICTURES if ending in group.files), None)
    if ending is None:
        found = ", ".join(f".{ending}" for ending in sorted(group.files))
        raise ValueError(f"no picture beside {found or 'it'}; known are {', '.join(PICTURES)}")
    texts = {text: group.files[text] for text in TEXTS if text in group.files}
    for text, member in texts.items():
        if member.size > MAX_TEXT:
            raise ValueError(f"its .{text} has {member.size:,} bytes; at most {MAX_TEXT:,} are read")
    picture = group.files[ending]
    if picture.size > (limit := max_file_bytes()):
        raise ValueError(f"its .{ending} has {too_large(picture.size, limit)}")
    return picture, read_texts(group.name, {text: member.content for text, member in texts.items()})


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
    """Whether a file is a PNG, by its first bytes."""
    return content.startswith(b"\x89PNG\r\n\x1a\n")
