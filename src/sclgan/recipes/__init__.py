"""The recipes by name, in the order of the experiment tables: data set, GAN, and of each GAN plain and its variants."""

import difflib
from collections.abc import Callable
from dataclasses import replace

from sclgan.recipe import Recipe
from sclgan.recipes import coco, cub, emoji, folder, scenes
from sclgan.recipes.ablations import ABLATIONS
from sclgan.recipes.small_data import for_small_data
from sclgan.recipes.variants import VARIANTS, rows

PLAIN: tuple[Callable[[], Recipe], ...] = (
    *(emoji.attngan_emoji, emoji.dmgan_emoji, emoji.ssagan_emoji, emoji.galip_emoji),
    *(scenes.attngan_scenes, scenes.dmgan_scenes, scenes.ssagan_scenes, scenes.galip_scenes),
    *(cub.attngan_cub, cub.dmgan_cub, cub.ssagan_cub, cub.galip_cub),
    *(coco.attngan_coco, coco.dmgan_coco, coco.ssagan_coco, coco.galip_coco),
    *(folder.attngan_folder, folder.dmgan_folder, folder.ssagan_folder, folder.galip_folder),
)
"""The base methods: one function a row, named GAN_DATA."""

FINE_TUNING_STEPS = {
    # 20 and 5 epochs of batches of 64
    "galip_cub": 20 * cub.TRAINING_IMAGES // 64,
    "galip_coco": 5 * coco.TRAINING_IMAGES // 64,
    "galip_folder": 2_000,
}
"""GALIP pre-trains nothing, so its plain rows on OpenAI's CLIP do not; the ways to use the label fine-tune that CLIP.

What fine-tuning alone does is the plain row with these `pretraining.steps`. None of the numbers was tuned.
"""

RECIPES = {
    name: make
    for plain in PLAIN
    for name, make in rows(plain, fine_tuning_steps=FINE_TUNING_STEPS.get(plain.__name__)).items()
}
"""Name -> the function that makes the recipe."""


def _small(plain: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """The `_small` row of a published one: GAN_DATA_small."""

    def make() -> Recipe:
        base = plain()
        made = for_small_data(base, feature_discriminator=not base.name.startswith("galip"))
        return replace(made, name=make.__name__, about=f"{base.about}, with the settings for small data")

    make.__name__ = f"{plain.__name__}_small"
    return make


SMALL_DATA = {
    name: make
    for plain in PLAIN
    if plain.__module__ in (cub.__name__, coco.__name__)
    for name, make in rows(_small(plain), fine_tuning_steps=FINE_TUNING_STEPS.get(plain.__name__)).items()
    if name.endswith(("_small", "_2x", "_scl"))
}
"""The rows on CUB and COCO with the settings for small data, which those on the other data sets have anyway."""


KNOWN = RECIPES | SMALL_DATA | ABLATIONS
"""Every recipe by name."""


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the nearest name is given.
    """
    if name not in KNOWN:
        nearest = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0)[0]
        raise ValueError(f"no recipe '{name}': did you mean '{nearest}'? `sclgan recipes` lists them")
    return KNOWN[name]()


def table() -> str:
    """The recipes as the experiment table: GANs and their variants in rows, data sets in columns."""
    parts = {name: name.split("_") for name in RECIPES}
    columns = list(dict.fromkeys(data for _, data, *_ in parts.values()))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for name, (gan, data, *variant) in parts.items():
        rows.setdefault((gan, *variant), {})[data] = name
    lines = [f"{'':<24}" + "".join(f"{data:<22}" for data in columns)]
    for (_, *variant), cells in rows.items():
        title = VARIANTS[variant[0]] if variant else RECIPES[next(iter(cells.values()))]().about.partition(" on ")[0]
        lines.append(f"{title:<24}" + "".join(f"{cells.get(data, ''):<22}" for data in columns))
    plain = [name for name in SMALL_DATA if name.endswith("_small")]
    small = [" ".join(f"{name:<28}" for name in SMALL_DATA if name.startswith(first)) for first in plain]
    lines += ["", "With the settings for small data", *(f"  {row}" for row in small)]
    lines += ["", "Ablations", *(f"  {name}" for name in ABLATIONS)]
    return "\n".join(line.rstrip() for line in lines)
