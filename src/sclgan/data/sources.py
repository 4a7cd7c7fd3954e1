"""The data sets by name."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path

from sclgan.data.names import nearest
from sclgan.data.packs.folder import DATASET
from sclgan.data.packs.read import Packed
from sclgan.data.sets import coco, cub, emoji, scenes
from sclgan.data.sets.own.source import Folder
from sclgan.data.sets.own.table import SPLITS as FOLDER_SPLITS
from sclgan.data.types import Source

SOURCES: dict[str, tuple[Callable[[str], Source], tuple[str, ...]]] = {
    "emoji": (emoji.Emoji, emoji.SPLITS),
    "scenes": (scenes.Scenes, scenes.SPLITS),
    "cub": (cub.Cub, cub.SPLITS),
    "coco": (coco.Coco, tuple(coco.SPLITS)),
    "folder": (Folder, FOLDER_SPLITS),
}
"""Name -> how to open a split, and the splits. Files are looked for in data/birds, data/coco and data/pictures."""


def source(name: str, split: str, *, root: Path | None = None) -> Source:
    """One split of a data set, by its name, or by the folder of a pack or of pictures; `root` is its folder, if not the
    usual one.

    Raises:
        ValueError: there is no such data set (the nearest name is given) or split, or it has no folder.
    """
    if (Path(name) / DATASET).is_file():
        return Packed(split, root=name)
    if name not in SOURCES and Path(name).is_dir():
        return Folder(split, root=name)
    if name not in SOURCES:
        raise ValueError(f"no data set '{name}': did you mean '{nearest(name, SOURCES)}'? `sclgan data` lists them")
    make, splits = SOURCES[name]
    if split not in splits:
        raise ValueError(f"'{name}' has no split '{split}'; it has {', '.join(splits)}")
    if root is None:
        return make(split)
    if "root" not in signature(make).parameters:
        raise ValueError(f"'{name}' comes with the package and has no folder: leave out --root")
    return partial(make, **{"root": root})(split)


def sizes(name: str) -> str:
    """The splits of a data set and how many rows each has, or the first words of why it cannot be read."""
    try:
        return ", ".join(f"{split} {len(source(name, split))}" for split in SOURCES[name][1])
    except FileNotFoundError as error:
        return f"not here ({str(error).partition(':')[0]}): `sclgan data {name}` says what to get"
