"""Phase 1: one step of pre-training the encoders, with any number of views, and their retrieval score.

Liu et al. 2024: the base method's loss stays, per branch; added is the contrast on the quadruple (t1, v1, t2, v2).
"""

import torch
from torch import Tensor, nn

from sclgan.data.pairs import collate
from sclgan.data.types import Batch, Source
from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.losses.contrastive import quadruple
from sclgan.losses.terms import sum_over_views
from sclgan.metrics.retrieval import recall_at
from sclgan.random import numpy_generator
from sclgan.recipe import Pretraining
from sclgan.train.step import descend

NUM_RETRIEVED = 1000
"""Rows that retrieval is scored on: enough for a curve, and an epoch's score takes seconds."""


class PretrainingPhase:
    """The encoders and their optimizer. A pre-trained backbone inside them stays as it is."""

    def __init__(self, encoders: Encoders, recipe: Pretraining, *, steps_per_epoch: int) -> None:
        self.encoders, self.recipe, self.steps_per_epoch = encoders, recipe, steps_per_epoch
        self.optimizer = torch.optim.Adam(encoders.trainable_parameters(), recipe.learning_rate, recipe.betas)

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
        if "contrast" in recipe.weights:
            terms["contrast"] = quadruple(
                [text.sentence for text in texts],
                [image.image for image in images],
                batch.labels,
                temperature=recipe.temperature,
                pairs=recipe.pairs,
                label_sets=batch.label_sets,
            )
        return descend(
            self.optimizer, terms, recipe.weights, clip=(encoders.text_parameters(), recipe.clip_text_gradient)
        )

    def learning_rate(self, step: int) -> float:
        """The rate of the step's epoch: decayed once an epoch, down to the smallest."""
        epoch = (step - 1) // self.steps_per_epoch
        decayed = self.recipe.learning_rate * self.recipe.learning_rate_decay**epoch
        return max(decayed, self.recipe.minimal_learning_rate)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds, by file name."""
        return {"encoders": self.encoders}

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers, by name."""
        return {"encoders": self.optimizer}


@torch.no_grad()
def retrieval(
    encoders: Encoders, source: Source, tokenizer: Tokenizer, *, image_size: int, seed: int, device: torch.device
) -> dict[str, float]:
    """R@1 and R@5 of image-to-text and text-to-image retrieval, and the mean of the four.

    Over one picture and caption of every row, at most `NUM_RETRIEVED` rows; only a picture's own caption counts as
    found, not one of its label.
    """
    was_training = encoders.training
    encoders.eval()
    texts, images = [], []
    chosen = numpy_generator(seed).permutation(len(source))[:NUM_RETRIEVED]
    for start in range(0, len(chosen), 64):
        rows = [int(row) for row in chosen[start : start + 64]]
        pictures = [source.picture(row, image_size, numpy_generator(seed, row), augment=False) for row in rows]
        view = collate(pictures, tokenizer).to(device)
        texts.append(encoders.encode_text(view.captions).sentence)
        images.append(encoders.encode_image(view.image).image)
    encoders.train(was_training)
    recall = recall_at((1, 5), torch.cat(images), torch.cat(texts))
    directions = {"image_to_text": recall.image_to_text, "text_to_image": recall.text_to_image}
    values = {f"{name}_r{k}": value for name, at in directions.items() for k, value in at.items()}
    return values | {"mean": sum(values.values()) / len(values)}
