"""What is needed from elsewhere: files, with official page, name, size, checksum and place; optional libraries."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


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


def optional_library(module: str, *, package: str, what: str, install: str) -> Any:
    """A library that only some need. `what` needs `package`, and `pip install INSTALL` brings it.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what} needs the package {package} ({error}): pip install {install}") from error
