"""Phase 2: one step of GAN training, with any number of views.

Liu et al. 2024: two parameter-sharing branches, contrast on the quadruple of texts and generated images. The branches
share parameters because they are one GAN, called once per view.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sclgan import distributed
from sclgan.data.types import Batch
from sclgan.encoders.base import Encoders
from sclgan.gans.base import TextToImageGAN
from sclgan.losses.precision import widened
from sclgan.losses.terms import sum_over_views
from sclgan.random import normal
from sclgan.recipe import Training
from sclgan.train.ema import AveragedModel
from sclgan.train.label_terms import label_terms
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
        self.averaged = AveragedModel(gan.generator, recipe.ema_decay)

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """One iteration: first D, then G on the same fakes. Returns every term, summed over the views."""
        gan, recipe, views = self.gan, self.recipe, batch.views
        with torch.no_grad():
            texts = [self.encoders.encode_text(view.captions) for view in views]
        with self.autocast():
            fakes = [gan.generate(z, text) for z, text in zip(self.noise(batch, step), texts, strict=True)]
        fakes = [replace(fake, images=tuple(widened(image) for image in fake.images)) for fake in fakes]

        logs: dict[str, Tensor] = {}
        for weights in recipe.discriminator_weights:
            with self.autocast():
                terms = sum_over_views(
                    [
                        gan.discriminator_terms(view.image, fake, text, only=weights.keys())
                        for view, fake, text in zip(views, fakes, texts, strict=True)
                    ]
                )
            values = descend(self.discriminator_optimizer, terms, weights)
            logs |= {f"d/{name}": value for name, value in values.items()}

        with frozen(gan.discriminator):
            with self.autocast():
                codes = [gan.embed(fake) for fake in fakes]
                terms = sum_over_views(
                    [
                        gan.generator_terms(fake, code, text, batch.labels)
                        for fake, code, text in zip(fakes, codes, texts, strict=True)
                    ]
                )
            sentences, images = [text.sentence for text in texts], [widened(code.image) for code in codes]
            terms |= label_terms(recipe, recipe.generator_weights, sentences, images, batch, self.encoders)
            values = descend(self.generator_optimizer, terms, recipe.generator_weights)
            logs |= {f"g/{name}": value for name, value in values.items()}
        self.averaged.update(step - 1)
        return logs

    def autocast(self) -> torch.autocast:
        """The precision of the networks."""
        return torch.autocast(distributed.device().type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def noise(self, batch: Batch, step: int) -> list[Float[Tensor, "b z"]]:
        """Noise of this rank's rows for every view: rows of one global draw, the same for any number of ranks."""
        num_rows = len(batch.labels) * distributed.world_size()
        mine, device = distributed.own_rows(num_rows), batch.labels.device
        shared = self.recipe.noise == "shared"
        return [
            normal(num_rows, self.gan.z_dim, self.seed, step, 0 if shared else view)[mine].to(device)
            for view in range(len(batch.views))
        ]

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds, by file name."""
        return {
            "generator": self.gan.generator,
            "averaged_generator": self.averaged.average,
            "discriminator": self.gan.discriminator,
        }

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers, by name."""
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}
