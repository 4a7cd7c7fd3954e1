"""GALIP: a generator that draws through a frozen CLIP, and a discriminator that judges CLIP's features.

Tao et al. 2023, "GALIP: Generative Adversarial CLIPs for Text-to-Image Synthesis" (CVPR), section 3. The generator
is in `galip_generator.py`. Parameter names are those of the paper's code.
"""

from collections.abc import Collection
from functools import partial
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.clip import CLIP, CLIPImageCodes
from sclgan.gans.augmentation import Augment, unchanged
from sclgan.gans.base import EncodedFake, Fake, refuse_unknown
from sclgan.gans.galip_generator import Generator
from sclgan.gans.layers import LeakyReLU
from sclgan.losses import adversarial
from sclgan.losses.precision import as_float32, full_precision
from sclgan.losses.terms import Terms


class GALIP:
    """Generator, discriminator and objectives of GALIP; satisfies `TextToImageGAN`.

        L_D = real + (mismatched + fake) / 2 + 2 magp
        L_G = adv + 4 similarity

    The weights belong to the recipe. CLIP is the caller's: it is used four times, as text condition, as bridge of the
    generator, as features below the discriminator and for the similarity, and is part of neither network. D sees the
    features after `feature_blocks` of CLIP's vision transformer, the bridge has prompts in the `num_prompts` blocks
    from `first_prompt_block` on.
    """

    discriminator_term_names = frozenset({"real", "mismatched", "fake", "magp"})
    generator_term_names = frozenset({"adv", "similarity"})
    terms_without_codes = frozenset[str]()
    terms_relating_rows = frozenset[str]()
    penalty_terms = frozenset({"magp"})

    def __init__(
        self,
        encoders: Encoders,
        *,
        image_size: int = 224,
        nf: Annotated[int, Ge(1)] = 64,
        z_dim: Annotated[int, Ge(1)] = 100,
        code_channels: Annotated[int, Ge(1)] = 64,
        mid_channels: Annotated[int, Ge(1)] = 32,
        discriminator_channels: Annotated[int, Ge(1)] = 512,
        head_channels: Annotated[int, Ge(1)] = 128,
        feature_blocks: Annotated[tuple[int, ...], Ge(0)] = (1, 4, 8),
        first_prompt_block: Annotated[int, Ge(0)] = 1,
        num_prompts: Annotated[int, Ge(1)] = 8,
    ) -> None:
        if not isinstance(encoders, CLIP):
            raise ValueError(f"GALIP draws and judges through CLIP: its encoders cannot be {type(encoders).__name__}")
        if (
            not feature_blocks
            or max(*feature_blocks, first_prompt_block + num_prompts - 1) >= encoders.num_image_blocks
        ):
            raise ValueError(
                f"feature_blocks {feature_blocks} and the {num_prompts} blocks with prompts from {first_prompt_block} "
                f"on must be among CLIP's, 0 to {encoders.num_image_blocks - 1}"
            )
        self.encoders, self.z_dim, self.feature_blocks = encoders, z_dim, feature_blocks
        self.bridge = partial(encoders.bridge, first_block=first_prompt_block)
        self.generator: nn.Module = Generator(
            image_size=image_size,
            nf=nf,
            z_dim=z_dim,
            text_dim=encoders.code_size,
            clip_width=encoders.image_width,
            grid_size=encoders.grid_size,
            code_channels=code_channels,
            mid_channels=mid_channels,
            num_prompts=num_prompts,
        )
        self.discriminator = Discriminator(
            clip_width=encoders.image_width,
            grid_size=encoders.grid_size,
            num_layers=len(feature_blocks),
            text_dim=encoders.code_size,
            num_channels=discriminator_channels,
            head_channels=head_channels,
        )
        for module in (self.generator, self.discriminator):
            module.to(memory_format=torch.channels_last)  # convolutions are fastest in this layout

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> EncodedFake:
        """One image for each noise and sentence. Nothing holds them within [-1, 1]; what is stored is clipped."""
        image = self.generator(z, text.sentence, self.bridge)
        return EncodedFake(images=(image,), encode=partial(self.encoders.encode_image, blocks=self.feature_blocks))

    def embed(self, fake: Fake) -> CLIPImageCodes:
        """The frozen CLIP's codes of the image; gradients flow into the image."""
        if isinstance(fake, EncodedFake):
            return cast(CLIPImageCodes, fake.codes)
        return self.encoders.encode_image(fake.image, self.feature_blocks)

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        only: Collection[str],
        augment: Augment = unchanged,
        following: adversarial.NextSentences | None = None,
    ) -> Terms:
        """The terms of D named in `only`: hinge losses of the three kinds of pairs, and MA-GP.

        The penalty is on the gradient in CLIP's features and sentences; nothing flows into real pixels. It is a sixth
        power of a second derivative, so D's pass on real pairs is in float32 under autocast too.

        Raises:
            ValueError: `only` names a term that GALIP does not have.
        """
        refuse_unknown(only, self.discriminator_term_names)
        D, sentence, wanted = self.discriminator, text.sentence.detach(), set(only)
        terms: Terms = {}
        if wanted & {"real", "mismatched", "magp"}:
            with torch.no_grad():
                layers = as_float32(self.encoders.features(augment(real), self.feature_blocks))
        with full_precision():
            if "magp" in wanted:
                layers, sentence = layers.requires_grad_(), sentence.requires_grad_()
            if wanted & {"real", "mismatched", "magp"}:
                features = D.features(layers)
            if wanted & {"real", "magp"}:
                logits = D.logits(features, sentence)
            if "real" in wanted:
                terms["real"] = adversarial.hinge_real(logits)
            if "mismatched" in wanted:
                wrong = adversarial.next_sentences(text.sentence.detach()) if following is None else following.in_ring
                terms["mismatched"] = adversarial.hinge_fake(D.logits(features, wrong))
            if "magp" in wanted:
                terms["magp"] = adversarial.matching_aware_gradient_penalty(logits, layers, sentence)
        if "fake" in wanted:
            layers = self.embed(fake).layers.detach()
            terms["fake"] = adversarial.hinge_fake(D(layers, text.sentence.detach()))
        return terms

    def generator_terms(
        self,
        fake: Fake,
        codes: ImageCodes | None,
        text: TextCodes,
        labels: Int[Tensor, " b"],
        only: Collection[str] | None = None,
    ) -> Terms:
        """Adversarial term, and `similarity`: minus CLIP's mean cosine of images and captions, in [-1, 1]."""
        del labels
        wanted = self.generator_term_names if only is None else set(only)
        found = cast(CLIPImageCodes, self.embed(fake) if codes is None else codes)
        terms: Terms = {}
        if "adv" in wanted:
            terms["adv"] = adversarial.hinge_generator(self.discriminator(found.layers, text.sentence))
        if "similarity" in wanted:
            terms["similarity"] = -F.cosine_similarity(as_float32(found.image), text.sentence, dim=1).mean()
        return terms


class Discriminator(nn.Module):
    """CLIP's features and a sentence to one logit per pair (section 3.1, "CLIP-based discriminator").

        x = layers[0]
        x = x + gamma * conv_r(x) + beta * layers[k]        k = 1, 2
        x = conv_s(x) + gamma * conv_r(x)                   `main`
        logit = joint_conv([x, s tiled])

    The last line is NetC of the paper's code, the others are its NetD.
    """

    def __init__(
        self,
        *,
        clip_width: int,
        grid_size: int,
        num_layers: int,
        text_dim: int,
        num_channels: int,
        head_channels: int,
    ) -> None:
        super().__init__()
        if grid_size < 4:
            raise ValueError(f"CLIP's grid must be at least 4 x 4 for D's head, not {grid_size} x {grid_size}")
        self.DBlocks = nn.ModuleList(LayerBlock(clip_width) for _ in range(num_layers - 1))
        self.main = OutputBlock(clip_width, num_channels)
        self.joint_conv = nn.Sequential(
            nn.Conv2d(num_channels + text_dim, head_channels, 4, bias=False),
            LeakyReLU(0.2),
            nn.Conv2d(head_channels, 1, grid_size - 3, bias=False),
        )

    def features(self, layers: Float[Tensor, "b k c r r"]) -> Float[Tensor, "b d r r"]:
        """D's features of images, which do not depend on sentences."""
        first, *others = layers.unbind(1)
        x = first
        for block, layer in zip(self.DBlocks, others, strict=True):
            x = block(x, layer)
        out: Tensor = self.main(x)
        return out

    def logits(self, features: Float[Tensor, "b d r r"], sentence: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """Logits of the pairs; above 0 is real and matching."""
        tiled = sentence[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return torch.flatten(self.joint_conv(torch.cat([features, tiled], dim=1)))

    def forward(self, layers: Float[Tensor, "b k c r r"], sentence: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        return self.logits(self.features(layers), sentence)


class LayerBlock(nn.Module):
    """`x + gamma * conv_r(x) + beta * layer`: a residual block that takes in a later layer of CLIP.

    The paper's code creates a shortcut convolution here that it never calls; an importer drops it.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.conv_r = residual(num_channels, num_channels)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c r r"], layer: Float[Tensor, "b c r r"]) -> Float[Tensor, "b c r r"]:
        out: Tensor = x + self.gamma * self.conv_r(x) + self.beta * layer
        return out


class OutputBlock(nn.Module):
    """`conv_s(x) + gamma * conv_r(x)`: a residual block to D's own width."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv_r = residual(num_in, num_out)
        self.conv_s = nn.Conv2d(num_in, num_out, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c r r"]) -> Float[Tensor, "b d r r"]:
        out: Tensor = self.conv_s(x) + self.gamma * self.conv_r(x)
        return out


def residual(num_in: int, num_out: int) -> nn.Sequential:
    """Two convolutions with leaky ReLUs that MA-GP differentiates cheaply."""
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False),
        LeakyReLU(0.2),
        nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
        LeakyReLU(0.2),
    )
