"""The averaged generator: an exponential moving average of the parameters, with the current buffers."""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from sclgan.recipe import Training


class AveragedModel:
    """Keeps `average`, a copy of `model` whose parameters follow it: average = d * average + (1 - d) * model.

    `decay` gives d for the number of updates before. Buffers (BatchNorm's running statistics) are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: Callable[[int], float]) -> None:
        self.model, self.decay = model, decay
        self.average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, num_updates: int) -> None:
        """Moves the average; `num_updates` is how often it was moved before."""
        weight = 1 - self.decay(num_updates)
        average = cast(list[torch.Tensor], list(self.average.parameters()))
        torch._foreach_lerp_(average, list(self.model.parameters()), weight)
        for kept, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(current)


def decay_of(recipe: Training) -> Callable[[int], float]:
    """How the recipe averages the generator.

    Raises:
        ValueError: `ema_decay` or `ema_images` is out of its range, or both are set.
    """
    if recipe.ema_images and recipe.ema_decay:
        raise ValueError("training.ema_images and training.ema_decay both say how to average: set one of them to 0")
    if recipe.ema_images:
        return half_life(recipe.ema_images, recipe.batch_size * recipe.num_views)
    return constant_decay(recipe.ema_decay)


def constant_decay(decay: float) -> Callable[[int], float]:
    """`decay`, but at most (1 + updates) / (10 + updates), so that the random initial weights are soon forgotten."""
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay must be in [0, 1), not {decay}")
    return lambda num_updates: min(decay, (1 + num_updates) / (10 + num_updates)) if decay else 0.0


def half_life(num_images: int, images_per_update: int) -> Callable[[int], float]:
    """The decay that halves a weight's share in `num_images` pictures, or in a twentieth of those seen so far.

        d = 0.5 ** (images_per_update / min(num_images, images_seen / 20))

    After Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", appendix C.
    """
    if num_images < 1:
        raise ValueError(f"ema_images must be 1 or more, not {num_images}")
    return lambda num_updates: float(
        0.5 ** (images_per_update / min(num_images, (num_updates + 1) * images_per_update * RAMP))
    )


RAMP = 1 / 20
