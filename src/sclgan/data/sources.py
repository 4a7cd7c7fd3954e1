"""The data sets by name."""

import difflib
from collections.abc import Callable

from sclgan.data.emoji import Emoji
from sclgan.data.types import Source

SOURCES: dict[str, tuple[Callable[[str], Source], tuple[str, ...]]] = {
    "emoji": (Emoji, ("train", "test", "unseen")),
}
"""Name -> how to open a split, and the splits."""


def source(name: str, split: str) -> Source:
    """One split of a data set.

    Raises:
        ValueError: there is no such data set (the nearest name is given) or split.
    """
    if name not in SOURCES:
        nearest = difflib.get_close_matches(name, SOURCES, n=1, cutoff=0)[0]
        raise ValueError(f"no data set '{name}': did you mean '{nearest}'? `sclgan data` lists them")
    make, splits = SOURCES[name]
    if split not in splits:
        raise ValueError(f"'{name}' has no split '{split}'; it has {', '.join(splits)}")
    return make(split)
