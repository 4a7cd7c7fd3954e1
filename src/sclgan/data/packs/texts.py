"""The texts of a sample in a shard: its key, captions and labels, from its .json, .txt and .cls."""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sclgan.data.sets.photographs import usable
from sclgan.data.text_lists import listed_value, looks_like_list

_NONE = ("", "nan", "none", "null")


@dataclass(frozen=True)
class Texts:
    """The texts of a sample. `left_out` counts what is not used of them, by a description."""

    key: str
    captions: tuple[str, ...]
    labels: tuple[int | str, ...]
    left_out: Counter[str]


def read_texts(name: str, files: Mapping[str, bytes]) -> Texts:
    """The texts of the sample `name`, whose files are given by their endings.

    The first of these with a value is used:

        captions    .json "captions", "caption", "text"; .txt, one per line
        labels      .json "labels", "label"; .cls

    Text in the .json that is a list in JSON or in Python's notation, "['a kite', 'a red kite']", is that list.
    null, NaN, blank text and the words nan, none and null are not values.

    Raises:
        ValueError: no caption is left, or a file or field is invalid.
    """
    content = _json(files.get("json", b"{}"))
    given_captions = [listed_value(content.get(name)) for name in ("captions", "caption", "text")]
    given_captions.append([line for line in (_text(files, "txt") or "").splitlines() if line.strip()])
    given_labels = [*(listed_value(content.get(name)) for name in ("labels", "label")), _text(files, "cls")]
    left_out: Counter[str] = Counter()
    captions = _captions(given_captions, left_out)
    labels = _labels(given_labels, left_out)
    key = content.get("key", name)
    key = key if isinstance(key, str) and key else name
    try:
        "".join([key, *captions, *map(str, labels)]).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"its texts hold half a character ({error})") from error
    return Texts(key, captions, labels, +left_out)


def _json(content: bytes) -> dict[str, Any]:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its .json is not JSON in UTF-8 ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"its .json holds {str(found)[:40]!r}; expected an object")
    return found


def _text(files: Mapping[str, bytes], ending: str) -> str | None:
    try:
        return files[ending].decode("utf-8-sig") if ending in files else None
    except UnicodeDecodeError as error:
        raise ValueError(f"its .{ending} is not text in UTF-8 ({error}): save it with the encoding UTF-8") from error


def _captions(given: list[Any], left_out: Counter[str]) -> tuple[str, ...]:
    value = next((value for value in given if not _says_nothing(value)), None)
    if isinstance(value, str) and looks_like_list(value):
        raise ValueError(f'its caption {value[:40]!r} looks like a list and is none: write ["a kite", "a red kite"]')
    captions = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(captions, list):
        raise ValueError(f"its caption is {str(captions)[:40]!r}; expected a text, or a list of texts")
    said = [caption for caption in captions if not _says_nothing(caption)]
    if not all(isinstance(caption, str) for caption in said):
        raise ValueError(f"its captions are {str(captions)[:40]!r}; expected a text, or a list of texts")
    kept, num_without_words = usable(said)
    if not kept:
        raise ValueError("it has no caption with a word")
    left_out["captions without a word"] += len(captions) - len(said) + num_without_words
    return kept


def _labels(given: list[Any], left_out: Counter[str]) -> tuple[int | str, ...]:
    lists = [value if isinstance(value, list) else [value] for value in given if value is not None]
    said = [[label for label in labels if not _says_nothing(label)] for labels in lists]
    left_out["labels that say none, such as 'nan'"] += sum(map(len, lists)) - sum(map(len, said))
    labels = next(filter(None, said), [])
    if not all(isinstance(label, str) or (_is_whole(label) and label >= 0) for label in labels):
        raise ValueError(f"its labels are {str(labels)[:40]!r}; expected names, or whole numbers from 0 on")
    return tuple(dict.fromkeys(map(as_label, labels)))


def as_label(value: Any) -> int | str:
    """A label in its one form: "3", " 3.0" and 3.0 are the number 3; names are stripped, with composed characters."""
    if not isinstance(value, str):
        return int(value)
    name = re.sub(r"^(\d+)\.0+$", r"\1", unicodedata.normalize("NFC", value).strip())
    return int(name) if name.isascii() and name.isdecimal() and str(int(name)) == name else name


def _is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and value.is_integer())


def _says_nothing(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_says_nothing, value))
    if isinstance(value, str):
        return value.strip().lower() in _NONE
    return value is None or (isinstance(value, float) and math.isnan(value))
