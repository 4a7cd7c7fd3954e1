"""Files that a data set or a network needs from elsewhere: official page, file name, size, checksum, place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Needed:
    """One file to get. `size` and `checksum` are as published, empty where they are not."""

    name: str
    page: str
    put: str
    """Instructions for the file, such as where to put it."""
    size: str = ""
    checksum: str = ""

    def __str__(self) -> str:
        known = ", ".join(fact for fact in (self.size, self.checksum) if fact)
        return f"{self.name}{f' ({known})' if known else ''} from {self.page}: {self.put}"


@runtime_checkable
class NeedsFiles(Protocol):
    """A class whose objects are built from files that the user has to get."""

    needed_files: Callable[..., Sequence[Needed]]
    """Lists them; takes those arguments of the class that decide which they are."""


def what_to_get(files: Sequence[Needed]) -> str:
    """The files in one line, for the message that says they are missing."""
    return f"get {'; '.join(map(str, files))}; or set source.root to the folder that holds them"
