"""Lists in the text of one cell or field, in JSON or in Python's notation: tables and captioning scripts write both."""

import ast
import io
import json
import tokenize
from typing import Any


def listed_value(value: Any) -> Any:
    """A value as it is meant: text that is a list in JSON, or as Python writes one, is that list."""
    if not isinstance(value, str) or not in_brackets(value):
        return value
    found = _json_list(value)
    found = _python_list(value) if found is None else found
    return value if found is None else found


def _json_list(text: str) -> list[Any] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, list) else None


def _python_list(text: str) -> list[Any] | None:
    """A list in Python's notation; None where it is anything else.

    Two strings without a comma between them, as NumPy prints arrays, are one string to Python: they are not a list.
    """
    try:
        values = ast.literal_eval(text.strip())
        tokens = tokenize.generate_tokens(io.StringIO(text.strip()).readline)
        num_strings = sum(token.type == tokenize.STRING for token in tokens)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    if not isinstance(values, list | tuple) or num_strings != sum(isinstance(value, str) for value in values):
        return None
    return list(values)


def is_python_list(value: Any) -> bool:
    """Whether a value is text that is a list in Python's notation and not in JSON."""
    is_text = isinstance(value, str) and in_brackets(value)
    return is_text and _json_list(value) is None and _python_list(value) is not None


def in_brackets(text: str) -> bool:
    """Whether text begins and ends with brackets of one kind."""
    text = text.strip()
    return text[:1] + text[-1:] in ("[]", "()", "{}")


def looks_like_list(text: str) -> bool:
    """Whether text is in brackets that begin with a quotation mark."""
    return in_brackets(text) and text.strip()[1:].lstrip()[:1] in ("'", '"')
