"""The fields in which resolved recipes, or other values of JSON, differ."""

from collections.abc import Mapping, Sequence
from typing import Any


def differences(contents: Sequence[Any], path: str = "") -> dict[str, list[Any]]:
    """Path -> the value in each of `contents`, for every field in which not all of them agree.

    Objects are compared field by field, and lists of objects item by item; a missing field counts as None. Other lists
    are compared as wholes.
    """
    if any(isinstance(content, Mapping) for content in contents) and all(
        content is None or isinstance(content, Mapping) for content in contents
    ):
        given: list[Mapping[str, Any]] = [content or {} for content in contents]
    elif all(_holds_objects(content) for content in contents) and len({len(content) for content in contents}) == 1:
        given = [{str(place): item for place, item in enumerate(content)} for content in contents]
    else:
        return {} if all(content == contents[0] for content in contents) else {path: list(contents)}
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for content in given for name in content):
        found |= differences([content.get(name) for content in given], f"{path}.{name}".strip("."))
    return found


def _holds_objects(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(item, Mapping) for item in content)
