"""The command line called in this process, as a shell would call it."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest.mock import patch

from sclgan.__main__ import COMMANDS, main

PLAIN = "ssagan_emoji"
APPLE = "a red apple on a white background"


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


def sclgan(*arguments: object) -> Ended:
    """Runs a command in this process, as the shell would call it."""
    code: object = 0
    given = ["sclgan", *map(str, arguments)]
    with patch.object(sys, "argv", given), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Ended(code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Ended:
    """Runs a command that must succeed."""
    ended = sclgan(*arguments)
    assert ended.code == 0, ended.err
    return ended


def refused(*arguments: object, code: int = 1) -> str:
    """The one line with which a command fails."""
    ended = sclgan(*arguments)
    assert ended.code == code, ended
    assert ended.out == ""
    assert ended.err.startswith("sclgan: ")
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


@contextmanager
def recorded(name: str) -> Iterator[list[dict[str, Any]]]:
    """Within it the command does nothing; the list gets the arguments of each call."""
    calls: list[dict[str, Any]] = []

    @wraps(COMMANDS[name])
    def record(*args: object, **keywords: object) -> None:
        calls.append({"args": args, **keywords})

    with patch.dict(COMMANDS, {name: record}):
        yield calls


@contextmanager
def failing(error: BaseException) -> Iterator[None]:
    """Within it `sclgan recipes` raises the error."""

    @wraps(COMMANDS["recipes"])
    def fail() -> None:
        raise error

    with patch.dict(COMMANDS, {"recipes": fail}):
        yield
