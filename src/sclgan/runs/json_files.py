"""JSON of a run folder, read so that any other content ends in one line that names the file and what to do."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sclgan.files import parsed, read_content

NAMES = {int: "a whole number", float: "a number", str: "text", dict: "an object", list: "a list"}


def read_object(path: Path, kinds: Mapping[str, type], *, advice: str) -> dict[str, Any]:
    """The JSON object in a file, with at least the fields `kinds`, each of its type; `float` takes whole numbers too.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, or is larger than `files.read_content` reads; the message ends with
            `advice`.
    """
    try:
        content = read_content(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}: {advice}") from error
    return parsed_object(content, kinds, where=str(path), advice=advice)


def parsed_object(content: bytes, kinds: Mapping[str, type], *, where: str, advice: str) -> dict[str, Any]:
    """The same for the content of a file, or of a line of it; `where` names it in the error."""
    try:
        found = parsed(content)
    except ValueError as error:
        raise ValueError(f"{where}: {error}: {advice}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where} holds {described(found)}, not an object: {advice}")
    for name, kind in kinds.items():
        if name not in found:
            raise ValueError(f"{where} has no '{name}': {advice}")
        if not is_kind(found[name], kind):
            raise ValueError(f"{where}: '{name}' is {described(found[name])}, not {NAMES[kind]}: {advice}")
    return found


def is_kind(value: object, kind: type) -> bool:
    """Whether a value of JSON is of a type; `true` is not a number, and a whole number is a number."""
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def described(value: object) -> str:
    """A value of JSON in a few words, for an error."""
    if isinstance(value, dict | list):
        return NAMES[type(value)]
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
