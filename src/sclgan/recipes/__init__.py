"""The recipes by name, in the order of the experiment tables: data set, GAN, the plain row and its variants."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sclgan.names import nearest
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
"""The base methods: one function per row, named GAN_DATA."""

TITLES = {"attngan": "AttnGAN", "dmgan": "DM-GAN", "ssagan": "SSA-GAN", "galip": "GALIP"}
"""The GANs as their papers write them."""

FINE_TUNING_STEPS = {
    # 20 and 5 epochs of batches of 64
    "galip_cub": 20 * cub.TRAINING_IMAGES // 64,
    "galip_coco": 5 * coco.TRAINING_IMAGES // 64,
    "galip_folder": 2_000,
}
"""GALIP pre-trains nothing, so its plain rows on OpenAI's CLIP do not; the ways to use the label fine-tune that CLIP.

The plain row with these `pretraining.steps` shows the effect of fine-tuning alone. None of the numbers was tuned.
"""

RECIPES = {
    name: make
    for plain in PLAIN
    for name, make in rows(plain, fine_tuning_steps=FINE_TUNING_STEPS.get(plain().name)).items()
}
"""Name -> the function that makes the recipe."""


def _small(plain: Callable[[], Recipe]) -> Recipe:
    """The `small` row of a published one."""
    base = plain()
    made = for_small_data(base, feature_discriminator=base.row.gan != "galip")
    about = f"{base.about}, with the settings for small data"
    return replace(made, row=base.row.with_variant("small"), about=about)


SMALL_DATA = {
    name: make
    for plain in PLAIN
    if plain().row.data in ("cub", "coco")
    for name, make in rows(partial(_small, plain), fine_tuning_steps=FINE_TUNING_STEPS.get(plain().name)).items()
    if make().row.variant in ("small", "small_2x", "small_scl")
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
        raise ValueError(f"no recipe '{name}': did you mean '{nearest(name, KNOWN)}'? `sclgan recipes` lists them")
    return KNOWN[name]()


def table() -> str:
    """The recipes as the experiment table: GANs and their variants in rows, data sets in columns."""
    all_rows = {name: make().row for name, make in RECIPES.items()}
    columns = list(dict.fromkeys(row.data for row in all_rows.values()))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for name, row in all_rows.items():
        cells.setdefault((row.gan, row.variant), {})[row.data] = name
    lines = [f"{'':<24}" + "".join(f"{data:<22}" for data in columns)]
    for (gan, variant), names in cells.items():
        title = f"  {VARIANTS[variant][0]}" if variant else TITLES[gan]
        lines.append(f"{title:<24}" + "".join(f"{names.get(data, ''):<22}" for data in columns))
    small: dict[tuple[str, str], list[str]] = {}
    for name, make in SMALL_DATA.items():
        small.setdefault((make().row.gan, make().row.data), []).append(name)
    listed = ("".join(f"{name:<29}" for name in names) for names in small.values())
    lines += ["", "With the settings for small data", *(f"  {names}" for names in listed)]
    lines += ["", "Ablations", *(f"  {name}" for name in ABLATIONS)]
    return "\n".join(line.rstrip() for line in lines)
