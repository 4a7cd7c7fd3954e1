"""AttnGAN: stages that double the resolution, each pixel of the later ones attending to the words; a D for each stage.

Xu et al. 2018, "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks"
(CVPR), section 3.1.
"""

from collections.abc import Collection
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.damsm import matching_terms
from sclgan.gans import stacked_discriminators
from sclgan.gans.base import Fake
from sclgan.gans.layers import GlobalBatchNorm2d
from sclgan.gans.stacked import Generator, MaskOrder, ResidualBlock, attend, up_block
from sclgan.losses.adversarial import kl_to_standard_normal
from sclgan.losses.terms import Terms


class AttnGAN:
    """Generator, discriminators and objectives of AttnGAN; satisfies `TextToImageGAN`.

        L_D = (real_uncond + real_cond) / 2 + (fake_uncond + fake_cond + mismatched) / 3
        L_G = adv + kl + lambda (words + sentence)              lambda: 5 on CUB, 50 on COCO

    The weights belong to the recipe. `adv` and D's terms are sums over the stages; `words` and `sentence` are DAMSM's
    losses of the last image. `num_stages` images double up to `image_size`.

    `self.z_dim` is `z_dim + condition_dim`: the last columns of the noise that `generate` takes are those of the
    conditioning augmentation. The reference code draws them anew inside the generator, in evaluation too; given from
    outside, an image is a function of its noise and its caption, and runs resume exactly.

    `mask_order="reference"` repeats a mistake of the reference code, for its released weights; see `stacked.attend`.

    Differs from the paper: its Eq. 4 halves `adv`, which its code and this do not.
    """

    discriminator_term_names = stacked_discriminators.DISCRIMINATOR_TERMS
    generator_term_names = frozenset({"adv", "kl", "words", "sentence"})

    def __init__(
        self,
        encoders: Encoders,
        *,
        image_size: int = 256,
        num_stages: int = 3,
        ngf: int = 32,
        ndf: int = 64,
        z_dim: int = 100,
        condition_dim: int = 100,
        num_residual_blocks: int = 2,
        mask_order: MaskOrder = "own",
        damsm_gammas: tuple[float, float, float] = (4.0, 5.0, 10.0),
    ) -> None:
        self.encoders, self.damsm_gammas = encoders, damsm_gammas
        self.noise_sizes, self.z_dim = [z_dim, condition_dim], z_dim + condition_dim
        self.generator = Generator(
            partial(
                AttentionStage,
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
            pixel_layer,
            discriminator_layer,
            image_size=image_size,
            num_stages=num_stages,
            ndf=ndf,
            text_dim=encoders.code_size,
        )
        # The layout that G's convolutions are fastest in. D's large kernels on small maps are faster without it.
        self.generator.to(memory_format=torch.channels_last)

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> Fake:
        """An image a stage; `maps` are how much each pixel of the features before the later stages reads each word."""
        noise, eps = torch.split(z, self.noise_sizes, dim=1)
        fake: Fake = self.generator(noise, eps, text)
        return fake

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the last image; gradients flow into the image."""
        return self.encoders.encode_image(fake.image)

    def discriminator_terms(
        self, real: Float[Tensor, "b 3 h w"], fake: Fake, text: TextCodes, only: Collection[str]
    ) -> Terms:
        """The terms of D named in `only`; see `stacked_discriminators.discriminator_terms`."""
        return stacked_discriminators.discriminator_terms(self.discriminator, real, fake, text.sentence, only)

    def generator_terms(self, fake: Fake, codes: ImageCodes, text: TextCodes, labels: Int[Tensor, " b"]) -> Terms:
        """Adversarial, KL and DAMSM terms; pairs of one label are no rivals in the latter."""
        return matching_terms(text, codes, labels, gammas=self.damsm_gammas) | {
            "adv": stacked_discriminators.adversarial_term(self.discriminator, fake, text.sentence),
            "kl": kl_to_standard_normal(*self.generator.ca_net(text.sentence)),
        }


class AttentionStage(nn.Module):
    """A later stage: pixels read words, and the features grow (F_i and F_i^attn, Eqs. 1-2).

    context_p = sum_t softmax_t( h_p . (U e)_t ) (U e)_t           U e: `conv_context` of the words
    out = up_block( residual( [h ; context] ) )
    """

    def __init__(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> None:
        super().__init__()
        self.mask_order = mask_order
        self.att = nn.ModuleDict({"conv_context": nn.Conv2d(text_dim, ngf, 1, bias=False)})
        self.residual = nn.Sequential(*(ResidualBlock(2 * ngf) for _ in range(num_residual_blocks)))
        self.upsample = up_block(2 * ngf, ngf)

    def forward(
        self, h: Float[Tensor, "b g h w"], words: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b g h2 w2"], Float[Tensor, "b t h w"]]:
        keys = self.att["conv_context"](words[:, :, :, None])[:, :, :, 0]  # [b g t]
        context, attention = attend(h, keys, keys, mask, self.mask_order)
        return self.upsample(self.residual(torch.cat([h, context], dim=1))), attention


def pixel_layer(num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
    """Convolution, leaky ReLU: D's first layer."""
    convolution = nn.Conv2d(num_in, num_out, kernel_size, stride=kernel_size - 2, padding=1, bias=False)
    return [convolution, nn.LeakyReLU(0.2, inplace=True)]


def discriminator_layer(num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
    """Convolution, batch normalisation, leaky ReLU; see `stacked_discriminators.Layer`."""
    convolution, activation = pixel_layer(num_in, num_out, kernel_size)
    return [convolution, GlobalBatchNorm2d(num_out), activation]
