"""The recipes by name, in the order of the experiment tables: data set, GAN, and of each GAN plain, `_2x`, `_scl`."""

import difflib
from collections.abc import Callable

from sclgan.recipe import Recipe
from sclgan.recipes import coco, cub, emoji
from sclgan.recipes.variants import VARIANTS, rows

PLAIN: tuple[Callable[[], Recipe], ...] = (
    *(emoji.attngan_emoji, emoji.dmgan_emoji, emoji.ssagan_emoji, emoji.galip_emoji),
    *(cub.attngan_cub, cub.dmgan_cub, cub.ssagan_cub, cub.galip_cub),
    *(coco.attngan_coco, coco.dmgan_coco, coco.ssagan_coco, coco.galip_coco),
)
"""The base methods: one function a row, named GAN_DATA."""

RECIPES = {name: make for plain in PLAIN for name, make in rows(plain).items()} | {
    # GALIP pre-trains nothing, the method does: more than `with_contrast` can know.
    "galip_cub_scl": cub.galip_cub_scl,
    "galip_coco_scl": coco.galip_coco_scl,
}
"""Name -> the function that makes the recipe."""


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the nearest name is given.
    """
    if name not in RECIPES:
        nearest = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0)[0]
        raise ValueError(f"no recipe '{name}': did you mean '{nearest}'? `sclgan recipes` lists them")
    return RECIPES[name]()


def table() -> str:
    """The recipes as the experiment table: GANs and their variants in rows, data sets in columns."""
    parts = {name: name.split("_") for name in RECIPES}
    columns = list(dict.fromkeys(data for _, data, *_ in parts.values()))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for name, (gan, data, *variant) in parts.items():
        rows.setdefault((gan, *variant), {})[data] = name
    lines = [f"{'':<22}" + "".join(f"{data:<20}" for data in columns)]
    for (_, *variant), cells in rows.items():
        title = VARIANTS[variant[0]] if variant else RECIPES[next(iter(cells.values()))]().about.partition(" on ")[0]
        lines.append(f"{title:<22}" + "".join(f"{cells.get(data, ''):<20}" for data in columns))
    return "\n".join(line.rstrip() for line in lines)
