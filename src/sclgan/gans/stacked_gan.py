"""The parts that AttnGAN and DM-GAN share as GANs: stages of one generator, a discriminator per stage, objectives.

Zhang et al. 2018, "StackGAN++", section 4; Xu et al. 2018, "AttnGAN" (CVPR), section 3.1. The papers differ in how a
later stage reads the words and in D's layers, which are in their own files.
"""

import abc
from collections.abc import Collection
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.damsm import matching_terms
from sclgan.gans import stacked_discriminators
from sclgan.gans.augmentation import Augment, unchanged
from sclgan.gans.base import Fake, embedded
from sclgan.gans.stacked import Generator, MaskOrder
from sclgan.losses.adversarial import NextSentences, kl_to_standard_normal
from sclgan.losses.terms import Terms


class StackedGAN(abc.ABC):
    """Generator, discriminators and objectives; satisfies `TextToImageGAN`.

        L_D = (real_uncond + real_cond) / 2 + (fake_uncond + fake_cond + mismatched) / 3
        L_G = adv + kl + lambda (words + sentence)              lambda: 5 on CUB, 50 on COCO

    The weights belong to the recipe. `adv` and D's terms are sums over the stages; `words` and `sentence` are DAMSM's
    losses of the last image. `num_stages` images double up to `image_size`.

    `self.z_dim` is `z_dim + condition_dim`: the last columns of the noise that `generate` takes are those of the
    conditioning augmentation. The reference codes draw them anew inside the generator, in evaluation too; given from
    outside, an image is a function of its noise and its caption, and runs resume exactly.

    `mask_order="reference"` repeats a mistake of the reference codes, for their released weights; see `stacked.attend`.

    Differs from the papers: they halve `adv` (AttnGAN's Eq. 4), which their codes and this do not.
    """

    discriminator_term_names = stacked_discriminators.DISCRIMINATOR_TERMS
    generator_term_names = frozenset({"adv", "kl", "words", "sentence"})
    terms_without_codes = frozenset({"adv", "kl"})
    terms_relating_rows = frozenset({"words", "sentence"})
    penalty_terms = frozenset[str]()

    def __init__(
        self,
        encoders: Encoders,
        *,
        ngf: Annotated[int, Ge(1)],
        ndf: Annotated[int, Ge(1)],
        image_size: int = 256,
        num_stages: Annotated[int, Ge(1)] = 3,
        z_dim: Annotated[int, Ge(1)] = 100,
        condition_dim: Annotated[int, Ge(1)] = 100,
        num_residual_blocks: Annotated[int, Ge(0)] = 2,
        mask_order: MaskOrder = "own",
        damsm_gammas: Annotated[tuple[float, float, float], Gt(0)] = (4.0, 5.0, 10.0),
    ) -> None:
        self.encoders, self.damsm_gammas = encoders, damsm_gammas
        self.noise_sizes, self.z_dim = [z_dim, condition_dim], z_dim + condition_dim
        self.generator: nn.Module = Generator(
            partial(
                self.later_stage,
                ngf,
                text_dim=encoders.code_size,
                num_residual_blocks=num_residual_blocks,
                mask_order=mask_order,
            ),
            image_size=image_size,
            num_stages=num_stages,
            ngf=ngf,
            z_dim=z_dim,
            condition_dim=condition_dim,
            text_dim=encoders.code_size,
        )
        self.discriminator = stacked_discriminators.discriminators(
            self.first_layer,
            self.layer,
            image_size=image_size,
            num_stages=num_stages,
            ndf=ndf,
            text_dim=encoders.code_size,
        )
        # G's convolutions are fastest in this layout. D's large kernels on small maps are faster without it.
        self.generator.to(memory_format=torch.channels_last)

    @abc.abstractmethod
    def later_stage(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> nn.Module:
        """One later stage of G: (features, words, mask) to (features of twice the size, attention maps)."""

    @abc.abstractmethod
    def first_layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """D's layer on pixels; see `stacked_discriminators.Layer`."""

    @abc.abstractmethod
    def layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """D's other layers."""

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> Fake:
        """An image per stage; `maps` are each pixel's weights of the words, one map per later stage."""
        noise, eps = torch.split(z, self.noise_sizes, dim=1)
        fake: Fake = self.generator(noise, eps, text)
        return fake

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the last image; gradients flow into the image."""
        return embedded(fake, self.encoders)

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        only: Collection[str],
        augment: Augment = unchanged,
        following: NextSentences | None = None,
    ) -> Terms:
        """The terms of D named in `only`; see `stacked_discriminators.discriminator_terms`."""
        return stacked_discriminators.discriminator_terms(
            self.discriminator, augment(real), fake, text.sentence, only, following
        )

    def generator_terms(
        self,
        fake: Fake,
        codes: ImageCodes | None,
        text: TextCodes,
        labels: Int[Tensor, " b"],
        only: Collection[str] | None = None,
    ) -> Terms:
        """Adversarial, KL and DAMSM terms; `encoders.mask_same_label` says which pairs are rivals in the latter."""
        wanted = self.generator_term_names if only is None else set(only)
        terms: Terms = {}
        if codes is not None:
            masked = labels if self.encoders.mask_same_label else None
            terms |= matching_terms(text, codes, masked, gammas=self.damsm_gammas, only=wanted)
        if "adv" in wanted:
            terms["adv"] = stacked_discriminators.adversarial_term(self.discriminator, fake, text.sentence)
        if "kl" in wanted:
            terms["kl"] = kl_to_standard_normal(*self.generator.get_submodule("ca_net")(text.sentence))
        return terms
