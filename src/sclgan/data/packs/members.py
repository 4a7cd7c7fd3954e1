"""The members of a tar file, read within bounds: nothing is extracted, and no size is believed before it is checked.

Names, links and devices in a hostile file are harmless, and a header that claims a terabyte costs nothing.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast, runtime_checkable

from sclgan.data.printable import printable
from sclgan.files import max_file_bytes, too_large

TEXTS = ("json", "txt", "cls")
PICTURES = ("jpg", "jpeg", "png", "webp")
MAX_TEXT = 2**20  # bytes; far more than any caption
_BLOCK = 512  # bytes: a tar file consists of such blocks
_LONG_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


@runtime_checkable
class Readable(Protocol):
    """A file, or the output of a command that WebDataset opened: all that a stream needs of it."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """A file in a tar file: the place of its bytes, and the bytes themselves if they were read.

    `is_plain` is False for links, devices and files with holes, which are not read.
    """

    name: str
    offset: int
    size: int
    content: bytes
    is_plain: bool = True


def members_of_file(path: Path) -> Iterator[Member]:
    """The members of a shard on a disk, with the content of the short texts among them.

    Raises:
        ValueError: it is not a tar file, compressed, truncated or damaged; the message names it.
    """
    length = path.stat().st_size
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
                stored = info.size if _is_plain(info) else tar.offset - info.offset_data
                if stored < 0 or info.offset_data + stored > length or tar.offset <= info.offset:
                    raise ValueError(f"{info.name!r} claims {stored:,} bytes from byte {info.offset_data:,} on")
                content = b""
                if _is_plain(info) and info.name.lower().endswith(TEXTS) and info.size <= MAX_TEXT:
                    file.seek(info.offset_data)
                    content = file.read(info.size)
                if not info.isdir():
                    yield Member(info.name, info.offset_data, info.size, content, _is_plain(info))
            file.seek(tar.offset)
            if file.read(_BLOCK).strip(b"\0"):  # tarfile takes a broken header for the end
                raise ValueError(f"the block at byte {tar.offset} is not a tar header")
    except OSError:
        raise
    except Exception as error:  # damaged headers end in almost any error
        raise ValueError(f"{path} is damaged or not a tar file: {_shown(error)}; get or pack it again") from error


def members_of_stream(file: Readable) -> Iterator[Member]:
    """The members of a shard that is read from its beginning to its end, with the content of all pictures and texts.

    Raises:
        ValueError: what follows cannot be read: a header is damaged, or a member is larger than the limit.
    """
    limit = max_file_bytes()
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r|*", tarinfo=_Header) as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]
                stored = info.size if _is_plain(info) else tar.offset - info.offset_data
                if not 0 <= stored <= limit:
                    raise ValueError(
                        f"{info.name!r} claims {too_large(stored, limit)}; the rest of the shard is left out"
                    )
                content = b""
                if _is_plain(info) and info.name.lower().endswith((*PICTURES, *TEXTS)):
                    opened = tar.extractfile(info)
                    content = opened.read() if opened is not None else b""
                if not info.isdir():
                    yield Member(info.name, info.offset_data, info.size, content, _is_plain(info))
    except OSError:
        raise
    except Exception as error:
        raise ValueError(_shown(error)) from error


class _Header(tarfile.TarInfo):
    """A header of which tarfile reads at most `MAX_TEXT` bytes of a long name or of extended fields."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_HEADERS and not 0 <= header.size <= MAX_TEXT:
            raise ValueError(f"a header claims {header.size:,} bytes; at most {MAX_TEXT:,} are read")
        return header


def _is_plain(info: tarfile.TarInfo) -> bool:
    return info.isreg() and not info.issparse()


def _shown(error: Exception) -> str:
    return printable(str(error)) or type(error).__name__
