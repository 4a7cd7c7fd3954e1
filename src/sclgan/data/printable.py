"""Text from files, such as names and labels, made safe to print.

Whoever made a file chose its names: one may hold a line break that fakes a line of output, or an escape sequence that
a terminal obeys.
"""

from collections.abc import Collection
from itertools import islice


def printable(text: object) -> str:
    """`text` in one line: line breaks, control characters and other unprintable ones become escapes such as "\\n"."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def listed(names: Collection[object], most: int = 5) -> str:
    """The first names of a collection, quoted and printable, and how many more there are."""
    shown = ", ".join(map(repr, islice(names, most)))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def shortened(value: object) -> str:
    """A value as Python writes it, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
