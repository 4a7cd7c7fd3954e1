"""Phase 1: one step of pre-training the encoders, with any number of views.

Liu et al. 2024: the base method's loss stays, per branch; added is the contrast on the quadruple (t1, v1, t2, v2).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sclgan.data.types import Batch
from sclgan.encoders.base import Encoders
from sclgan.losses.terms import sum_over_views
from sclgan.recipe import Pretraining
from sclgan.train.label_terms import label_terms
from sclgan.train.objectives import Objectives
from sclgan.train.step import descend


class PretrainingPhase:
    """The encoders and their optimizer. A pre-trained backbone inside them stays as it is."""

    def __init__(self, encoders: Encoders, recipe: Pretraining, *, steps_per_epoch: int) -> None:
        self.encoders, self.recipe, self.steps_per_epoch = encoders, recipe, steps_per_epoch
        self.objectives = Objectives()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(encoders.trainable_parameters(), recipe.weight_decay),
            recipe.learning_rate,
            recipe.betas,
            fused=True,
        )

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One iteration. Returns every term, summed over the views."""
        recipe, encoders = self.recipe, self.encoders
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        texts = [encoders.encode_text(view.captions) for view in batch.views]
        images = [encoders.encode_image(view.image) for view in batch.views]
        terms = sum_over_views(
            [encoders.matching_terms(text, image, batch.labels) for text, image in zip(texts, images, strict=True)]
        )
        sentences, codes = [text.sentence for text in texts], [image.image for image in images]
        terms |= label_terms(recipe, recipe.objective, sentences, codes, batch, encoders)
        norm = recipe.clip_text_gradient
        clip = None if norm is None else (encoders.text_parameters(), norm)
        watched = self.objectives
        return descend(self.optimizer, terms, recipe.objective, network="encoders", objectives=watched, clip=clip)

    def learning_rate(self, step: int) -> float:
        """The rate of the step's epoch, decayed once an epoch, down to the smallest; in the warm-up a part of it."""
        epoch = (step - 1) // self.steps_per_epoch
        decayed = self.recipe.learning_rate * self.recipe.learning_rate_decay**epoch
        return max(decayed, self.recipe.minimal_learning_rate) * min(1.0, step / max(1, self.recipe.warmup_steps))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules that a checkpoint holds, by file name."""
        return {"encoders": self.encoders}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers, by name."""
        return {"encoders": self.optimizer}


def parameter_groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: matrices with the decay, gains and biases without. One group where nothing decays."""
    if not weight_decay:
        return [{"params": list(parameters), "weight_decay": 0.0}]
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
