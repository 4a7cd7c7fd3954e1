"""Phase 2: one step of GAN training, with any number of views.

Liu et al. 2024: two parameter-sharing branches, contrast on the quadruple of texts and generated images. The branches
share parameters because they are one GAN, called once per view.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan import distributed
from sclgan.data.types import Batch
from sclgan.distributed import copied
from sclgan.encoders.base import Encoders
from sclgan.gans.augmentation import NUM_DRAWS, Augment, Augmentation, unchanged
from sclgan.gans.base import Fake, TextToImageGAN
from sclgan.losses.precision import as_float32
from sclgan.losses.terms import sum_over_views
from sclgan.random import Stream, normal, uniform
from sclgan.recipe import Training
from sclgan.train.ema import AveragedModel, decay_of
from sclgan.train.label_terms import LABEL_TERMS, label_terms
from sclgan.train.objectives import Objectives
from sclgan.train.schedule import weights_at
from sclgan.train.step import descend, frozen


class GANPhase:
    """The GAN, its optimizers and its averaged generator. `encoders` are frozen."""

    def __init__(self, gan: TextToImageGAN, encoders: Encoders, recipe: Training, *, seed: int) -> None:
        self.gan, self.encoders, self.recipe, self.seed = gan, encoders, recipe, seed
        self.generator_optimizer = torch.optim.Adam(
            gan.generator.parameters(), recipe.generator_learning_rate, recipe.betas, fused=True
        )
        self.discriminator_optimizer = torch.optim.Adam(
            gan.discriminator.parameters(), recipe.discriminator_learning_rate, recipe.betas, fused=True
        )
        self.objectives = Objectives()
        self.averaged = AveragedModel(gan.generator, decay_of(recipe))

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One iteration: first D, then G on the same fakes. Returns every term that was due, summed over the views."""
        gan, recipe, views = self.gan, self.recipe, batch.views
        augments = self.augmentations(batch, step)
        with torch.no_grad():
            texts = [self.encoders.encode_text(view.captions) for view in views]
        with self.autocast():
            fakes = [gan.generate(z, text) for z, text in zip(self.noise(batch, step), texts, strict=True)]
        fakes = [as_judged(fake, augment) for fake, augment in zip(fakes, augments, strict=True)]

        logs: dict[str, Tensor] = {}
        for table in recipe.discriminator_objectives:
            weights = weights_at(step, table, recipe)
            if not weights:
                continue
            with self.autocast():
                terms = sum_over_views(
                    [
                        gan.discriminator_terms(view.image, fake, text, weights.keys(), augment)
                        for view, fake, text, augment in zip(views, fakes, texts, augments, strict=True)
                    ]
                )
            values = descend(
                self.discriminator_optimizer, terms, weights, network="discriminator", objectives=self.objectives
            )
            logs |= {f"d/{name}": value for name, value in values.items()}

        weights = weights_at(step, recipe.generator_objective, recipe)
        own = weights.keys() - LABEL_TERMS
        with frozen(gan.discriminator):
            with self.autocast():
                encoded = bool(weights.keys() - gan.terms_without_codes)
                codes = [gan.embed(fake) if encoded else None for fake in fakes]
                terms = sum_over_views(
                    [
                        gan.generator_terms(fake, code, text, batch.labels, own)
                        for fake, code, text in zip(fakes, codes, texts, strict=True)
                    ]
                )
            sentences = [text.sentence for text in texts]
            images = [as_float32(code.image) for code in codes if code is not None]
            reals = self.codes_of_reals(batch, augments) if recipe.contrast_reals and "contrast" in weights else []
            terms |= label_terms(recipe, weights, sentences, images, batch, self.encoders, reals=reals)
            values = descend(self.generator_optimizer, terms, weights, network="generator", objectives=self.objectives)
            logs |= {f"g/{name}": value for name, value in values.items()}
        self.averaged.update(step - 1)
        return logs

    @torch.no_grad()
    def codes_of_reals(self, batch: Batch, augments: Sequence[Augment]) -> list[Float[Tensor, "b d"]]:
        """The frozen encoder's codes of every view's real pictures, augmented as the generated ones are."""
        with self.autocast():
            return [
                as_float32(self.encoders.encode_image(augment(view.image)).image)
                for view, augment in zip(batch.views, augments, strict=True)
            ]

    def autocast(self) -> torch.autocast:
        """The precision of the networks."""
        return torch.autocast(distributed.device().type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def augmentations(self, batch: Batch, step: int) -> list[Augment]:
        """For every view what D sees of this rank's rows: numbers of a global draw, as for the noise."""
        if not self.recipe.augment:
            return [unchanged for _ in batch.views]
        num_rows = len(batch.labels) * distributed.world_size()
        mine = distributed.own_rows(num_rows)
        drawn = [
            uniform(num_rows, NUM_DRAWS, Stream.AUGMENTATION, self.seed, step, view)[mine]
            for view in range(len(batch.views))
        ]
        return [Augmentation(self.recipe.augment, copied(draws, batch.labels.device)) for draws in drawn]

    def noise(self, batch: Batch, step: int) -> list[Float[Tensor, "b z"]]:
        """Noise of this rank's rows for every view: rows of one global draw, the same for any number of ranks."""
        num_rows = len(batch.labels) * distributed.world_size()
        mine, device = distributed.own_rows(num_rows), batch.labels.device
        shared = self.recipe.noise == "shared"
        drawn = [
            normal(num_rows, self.gan.z_dim, Stream.NOISE, self.seed, step, 0 if shared else view)[mine]
            for view in range(len(batch.views))
        ]
        return [copied(z, device) for z in drawn]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules that a checkpoint holds, by file name."""
        return {
            "generator": self.gan.generator,
            "averaged_generator": self.averaged.average,
            "discriminator": self.gan.discriminator,
        }

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers, by name."""
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}


def as_judged(fake: Fake, augment: Augment) -> Fake:
    """The fake as D and the frozen encoder see it, in both steps: in float32, augmented."""
    return replace(fake, images=tuple(augment(as_float32(image)) for image in fake.images))
