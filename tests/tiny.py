"""Recipes at a size at which both phases take seconds on a CPU."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sclgan.recipe import Recipe
from sclgan.recipe_fields import children, override

TINY = (
    "pretraining.steps=2",
    "pretraining.log_every=1",
    "training.steps=2",
    "training.log_every=1",
    "training.evaluate_every=0",
    "encoders.code_size=16",
    "encoders.embedding_size=16",
    "encoders.backbone.image_size=32",
    "encoders.weights=none",
    "encoders.num_text_blocks=1",
    "encoders.num_text_heads=2",
    "encoders.image_size=32",
    "encoders.patch_size=8",
    "encoders.image_width=16",
    "encoders.num_image_blocks=3",
    "encoders.num_image_heads=2",
    "gan.nf=2",
    "gan.ngf=2",
    "gan.ndf=2",
    "gan.z_dim=8",
    "gan.condition_dim=4",
    "gan.num_residual_blocks=1",
    "gan.mask_channels=4",
    "gan.code_channels=4",
    "gan.mid_channels=4",
    "gan.discriminator_channels=8",
    "gan.head_channels=8",
    "gan.feature_blocks=0,1,2",
    "gan.num_prompts=2",
    "feature_discriminator.width=4",
)
"""The fields that `tiny` sets; those of the GAN and of the encoders where they have them."""


def arguments(constructor: Callable[..., object]) -> dict[str, Any]:
    """The keywords that a recipe gives to one of its constructors."""
    return dict(constructor.keywords) if isinstance(constructor, partial) else {}


def tiny(recipe: Recipe) -> Recipe:
    """The recipe at a size at which both phases take seconds on a CPU: for tests, and for trying out a set-up."""
    pretraining = replace(recipe.pretraining, batch_size=recipe.pretraining.batch_size // 6)
    training = replace(recipe.training, batch_size=recipe.training.batch_size // 4)
    return override(replace(recipe, pretraining=pretraining, training=training), tiny_assignments(recipe))


def tiny_assignments(recipe: Recipe) -> list[str]:
    """What of `TINY` the recipe has: GANs and encoders differ in their arguments. No steps stay none."""
    sets = [assignment for assignment in TINY if _has(recipe, assignment.partition("=")[0].split("."))]
    return sets if recipe.pretraining.steps else [one for one in sets if not one.startswith("pretraining.steps")]


def _has(node: Any, path: list[str]) -> bool:
    options = children(node)
    return not path or (path[0] in options and _has(options[path[0]][0], path[1:]))
