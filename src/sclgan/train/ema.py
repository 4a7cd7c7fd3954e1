"""The averaged generator: an exponential moving average of the parameters, with the current buffers."""

import copy
from typing import cast

import torch
from torch import nn


class AveragedModel:
    """Keeps `average`, a copy of `model` whose parameters follow it: average = d * average + (1 - d) * model.

    Buffers (BatchNorm's running statistics) are copied, not averaged. In the first steps the decay is at most
    (1 + updates) / (10 + updates), so that the random initial weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), not {decay}")
        self.model, self.decay = model, decay
        self.average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, num_updates: int) -> None:
        """Moves the average; `num_updates` is how often it was moved before."""
        weight = 1 - min(self.decay, (1 + num_updates) / (10 + num_updates)) if self.decay else 1.0
        average = cast(list[torch.Tensor], list(self.average.parameters()))
        torch._foreach_lerp_(average, list(self.model.parameters()), weight)
        for kept, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(current)
