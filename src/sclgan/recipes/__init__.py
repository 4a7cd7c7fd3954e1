"""The recipes by name: one function a row of the experiment table, named GAN_DATA[_VARIANT]."""

import difflib

from sclgan.recipe import Recipe
from sclgan.recipes import emoji

RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        emoji.ssagan_emoji,
        emoji.ssagan_emoji_2x,
        emoji.ssagan_emoji_scl,
        emoji.attngan_emoji,
        emoji.attngan_emoji_2x,
        emoji.attngan_emoji_scl,
        emoji.dmgan_emoji,
        emoji.dmgan_emoji_2x,
        emoji.dmgan_emoji_scl,
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the nearest name is given.
    """
    if name not in RECIPES:
        nearest = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0)[0]
        raise ValueError(f"no recipe '{name}': did you mean '{nearest}'? `sclgan recipes` lists them")
    return RECIPES[name]()
