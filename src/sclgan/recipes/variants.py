"""The rows of an experiment table that are made from a plain one: twice the batch, and the method."""

from collections.abc import Callable
from dataclasses import replace

from sclgan.recipe import Recipe

VARIANTS = {"2x": "  twice the batch", "scl": "  with the contrast"}
"""Ending of the name -> what it means, for the table."""


def rows(plain: Callable[[], Recipe]) -> dict[str, Callable[[], Recipe]]:
    """A plain row and its two variants, by name: NAME, NAME_2x, NAME_scl."""
    name = plain.__name__
    return {
        name: plain,
        f"{name}_2x": lambda: with_twice_the_batch(plain()),
        f"{name}_scl": lambda: with_contrast(plain()),
    }


def with_contrast(base: Recipe) -> Recipe:
    """The `_scl` row of a recipe: two views of a label and the contrast in both phases (Liu et al. 2024).

    The paper's weights are not published: 1.0 in pre-training and 0.2 in the GAN phase are ours.
    """
    return replace(
        base,
        name=f"{base.name}_scl",
        about=f"{base.about}, with label-guided contrast in both phases",
        pretraining=replace(base.pretraining, num_views=2, weights={**base.pretraining.weights, "contrast": 1.0}),
        training=replace(
            base.training, num_views=2, generator_weights={**base.training.generator_weights, "contrast": 0.2}
        ),
    )


def with_twice_the_batch(base: Recipe) -> Recipe:
    """The `_2x` row of a recipe, the control: as many images a step as the method, one view, no contrast."""
    return replace(
        base,
        name=f"{base.name}_2x",
        about=f"{base.about}, twice the batch: the control of the method's cost",
        pretraining=replace(base.pretraining, batch_size=2 * base.pretraining.batch_size),
        training=replace(base.training, batch_size=2 * base.training.batch_size),
    )
