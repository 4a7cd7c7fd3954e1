"""The data sets by name."""

import difflib
from collections.abc import Callable
from pathlib import Path

from sclgan.data import coco, cub, emoji, folder, scenes
from sclgan.data.types import Source

SOURCES: dict[str, tuple[Callable[[str], Source], tuple[str, ...]]] = {
    "emoji": (emoji.Emoji, emoji.SPLITS),
    "scenes": (scenes.Scenes, scenes.SPLITS),
    "cub": (cub.Cub, cub.SPLITS),
    "coco": (coco.Coco, tuple(coco.SPLITS)),
    "folder": (folder.Folder, folder.SPLITS),
}
"""Name -> how to open a split, and the splits. Files are looked for in data/birds, data/coco and data/pictures."""


def source(name: str, split: str) -> Source:
    """One split of a data set, or of a folder of pictures by its path.

    Raises:
        ValueError: there is no such data set (the nearest name is given) or split.
    """
    if name not in SOURCES and Path(name).is_dir():
        return folder.Folder(split, root=name)
    if name not in SOURCES:
        nearest = difflib.get_close_matches(name, SOURCES, n=1, cutoff=0)[0]
        raise ValueError(f"no data set '{name}': did you mean '{nearest}'? `sclgan data` lists them")
    make, splits = SOURCES[name]
    if split not in splits:
        raise ValueError(f"'{name}' has no split '{split}'; it has {', '.join(splits)}")
    return make(split)


def sizes(name: str) -> str:
    """The splits of a data set and how many rows each has, or the first words of why it cannot be read."""
    try:
        return ", ".join(f"{split} {len(source(name, split))}" for split in SOURCES[name][1])
    except FileNotFoundError as error:
        return f"not here ({str(error).partition(':')[0]}): `sclgan data {name}` says what to get"
