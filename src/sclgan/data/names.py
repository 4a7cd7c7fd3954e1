"""Suggestions for a name that does not exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`; there must be one."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]
