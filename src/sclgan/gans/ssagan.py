"""SSA-GAN: one stage, text fused by affine modulation where predicted masks say so, one-way D with MA-GP.

Liao et al. 2022, "Text to Image Generation with Semantic-Spatial Aware GAN" (CVPR), section 3; D is that of DF-GAN.
"""

from collections import OrderedDict
from collections.abc import Collection
from contextlib import nullcontext
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.encoders.damsm import matching_terms
from sclgan.gans.augmentation import Augment, unchanged
from sclgan.gans.base import Fake, embedded, refuse_unknown
from sclgan.gans.layers import GlobalBatchNorm2d, LeakyReLU
from sclgan.losses import adversarial
from sclgan.losses.precision import full_precision
from sclgan.losses.terms import Terms


class SSAGAN:
    """Generator, discriminator and objectives of SSA-GAN; satisfies `TextToImageGAN`.

        L_D = real + (mismatched + fake) / 2 + 2 magp
        L_G = adv + 0.05 (words + sentence)

    The weights belong to the recipe. `damsm_gammas` are those of the paper's code, whose configuration does not set
    gamma1 and so trains G with 5 instead of DAMSM's own 4. The paper's code takes `magp` in an Adam step of its own,
    after that of the other terms: `only` lets the loop do the same.
    """

    discriminator_term_names = frozenset({"real", "mismatched", "fake", "magp"})
    generator_term_names = frozenset({"adv", "words", "sentence"})
    terms_without_codes = frozenset({"adv"})
    terms_relating_rows = frozenset({"words", "sentence"})
    penalty_terms = frozenset({"magp"})

    def __init__(
        self,
        encoders: Encoders,
        *,
        image_size: int = 256,
        nf: Annotated[int, Ge(1)] = 64,
        z_dim: Annotated[int, Ge(1)] = 100,
        mask_channels: Annotated[int, Ge(1)] = 100,
        damsm_gammas: Annotated[tuple[float, float, float], Gt(0)] = (5.0, 5.0, 10.0),
    ) -> None:
        self.encoders, self.z_dim, self.damsm_gammas = encoders, z_dim, damsm_gammas
        self.generator: nn.Module = Generator(
            image_size=image_size, nf=nf, z_dim=z_dim, text_dim=encoders.code_size, mask_channels=mask_channels
        )
        self.discriminator = Discriminator(image_size=image_size, nf=nf, text_dim=encoders.code_size)
        for module in (self.generator, self.discriminator):
            module.to(memory_format=torch.channels_last)  # convolutions are fastest in this layout

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> Fake:
        """One image per noise and sentence; `maps` are the fusion masks, coarse to fine, in [0, 1]."""
        image, masks = self.generator(z, text.sentence)
        return Fake(images=(image,), maps=masks)

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the image; gradients flow into the image."""
        return embedded(fake, self.encoders)

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        only: Collection[str],
        augment: Augment = unchanged,
        following: adversarial.NextSentences | None = None,
    ) -> Terms:
        """The terms of D named in `only`: hinge losses of the three kinds of pairs, and MA-GP on raw `real`.

        Raises:
            ValueError: `only` names a term that SSA-GAN does not have.
        """
        refuse_unknown(only, self.discriminator_term_names)
        with full_precision() if "magp" in only else nullcontext():
            return self._discriminator_terms(real, fake, text, set(only), augment, following)

    def _discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        wanted: set[str],
        augment: Augment,
        following: adversarial.NextSentences | None,
    ) -> Terms:
        D, sentence = self.discriminator, text.sentence.detach()
        terms: Terms = {}
        if "magp" in wanted:  # the penalty is on the gradient in real pixels and sentences
            real, sentence = real.detach().requires_grad_(), sentence.requires_grad_()
        if wanted & {"real", "mismatched", "magp"}:
            features = D.features(augment(real))
        if wanted & {"real", "magp"}:
            logits = D.logits(features, sentence)
        if "real" in wanted:
            terms["real"] = adversarial.hinge_real(logits)
        if "mismatched" in wanted:
            wrong, num_parts = adversarial.mismatched(text.sentence.detach(), following)
            logits_of_wrong = D.logits(features[: len(wrong)], wrong)
            terms["mismatched"] = adversarial.hinge_mismatched(logits_of_wrong, len(real), num_parts)
        if "fake" in wanted:
            terms["fake"] = adversarial.hinge_fake(D(fake.image.detach(), text.sentence.detach()))
        if "magp" in wanted:
            # Biases have no part in a gradient of D. Theirs is then 0 rather than absent, so that Adam ages their
            # moments in a step on this term alone, as in the reference code and as with several ranks.
            nothing = torch.stack([0 * p.sum() for name, p in D.named_parameters() if name.endswith("bias")]).sum()
            terms["magp"] = adversarial.matching_aware_gradient_penalty(logits, real, sentence) + nothing
        return terms

    def generator_terms(
        self,
        fake: Fake,
        codes: ImageCodes | None,
        text: TextCodes,
        labels: Int[Tensor, " b"],
        only: Collection[str] | None = None,
    ) -> Terms:
        """Adversarial and DAMSM terms; `encoders.mask_same_label` says which pairs are rivals in the latter."""
        wanted = self.generator_term_names if only is None else set(only)
        terms: Terms = {}
        if "adv" in wanted:
            terms["adv"] = adversarial.hinge_generator(self.discriminator(fake.image, text.sentence))
        if codes is not None:
            masked = labels if self.encoders.mask_same_label else None
            terms |= matching_terms(text, codes, masked, gammas=self.damsm_gammas, only=wanted)
        return terms


class Generator(nn.Module):
    """Noise and sentence to an image in [-1, 1] and its fusion masks.

    One block per resolution, 4 x 4 up to `image_size` (a power of two, 32 to 256), the last with `nf` channels and each
    one before it with twice as many, at most 8 nf: at 256 the paper's 8 8 8 8 4 2 1, at 64 8 8 4 2 1. Parameter names
    are the reference code's. `mask_channels` (100 there) is the mask predictors' width, at small `nf` much of the cost.
    """

    def __init__(
        self, *, image_size: int = 256, nf: int = 64, z_dim: int = 100, text_dim: int = 256, mask_channels: int = 100
    ) -> None:
        super().__init__()
        num_blocks = self.num_blocks = num_halvings(image_size) + 1
        widths = [8 * nf] + [nf * min(8, 2 ** (num_blocks - 1 - i)) for i in range(num_blocks)]
        self.fc = nn.Linear(z_dim, widths[0] * 4 * 4)
        self.conv_mask = mask_predictor(widths[0], mask_channels)
        for i in range(num_blocks):
            masks = mask_channels if i < num_blocks - 1 else None
            block = GeneratorBlock(widths[i], widths[i + 1], text_dim=text_dim, upsample=i > 0, mask_channels=masks)
            self.add_module(f"block{i}", block)
        self.conv_img = nn.Sequential(
            GlobalBatchNorm2d(nf), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(nf, 3, 3, padding=1), nn.Tanh()
        )

    def forward(
        self, z: Float[Tensor, "b z"], sentence: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b 3 h w"], tuple[Float[Tensor, "b 1 _h _w"], ...]]:
        x = self.fc(z).unflatten(1, (-1, 4, 4))
        mask_logits = self.conv_mask(x)
        masks: list[Tensor] = []
        for i in range(self.num_blocks):
            block = cast(GeneratorBlock, self.get_submodule(f"block{i}"))
            if block.upsample:
                # Reference quirk: masks grow with align_corners, features to their nearest. Kept for released weights.
                mask_logits = F.interpolate(mask_logits, scale_factor=2, mode="bilinear", align_corners=True)
            masks.append(torch.sigmoid(mask_logits))
            x = block(x, sentence, masks[-1])
            if block.conv_mask is not None:
                mask_logits = block.conv_mask(x)
        return self.conv_img(x), tuple(masks)


class GeneratorBlock(nn.Module):
    """A semantic-spatial aware block: upsampling, two masked modulations with convolutions, a shortcut.

        x = nearest x2 of x
        out = shortcut(x) + gamma * c2( relu( affine2( c1( relu( affine0(x, s, mask) ) ), s, mask) ) )

    `conv_mask` predicts the mask logits of the next block; None in the last one.
    """

    def __init__(self, num_in: int, num_out: int, *, text_dim: int, upsample: bool, mask_channels: int | None) -> None:
        super().__init__()
        self.upsample = upsample
        self.affine0 = MaskedAffine(num_in, text_dim)
        self.affine2 = MaskedAffine(num_out, text_dim)
        self.c1 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.c2 = nn.Conv2d(num_out, num_out, 3, padding=1)
        self.c_sc = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else None
        self.gamma = nn.Parameter(torch.zeros(1))
        self.conv_mask = None if mask_channels is None else mask_predictor(num_out, mask_channels)

    def forward(
        self, x: Float[Tensor, "b c _h _w"], sentence: Float[Tensor, "b d"], mask: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b k h w"]:
        shortcut = x if self.c_sc is None else self.c_sc(x)  # 1x1, so before the upsampling it costs a quarter
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            shortcut = F.interpolate(shortcut, scale_factor=2, mode="nearest")
        h = self.c1(F.relu_(self.affine0(x, sentence, mask)))
        h = self.c2(F.relu_(self.affine2(h, sentence, mask)))
        return torch.addcmul(shortcut, self.gamma, h)


class MaskedAffine(nn.Module):
    """Semantic-spatial condition batch normalisation: text scales and shifts where the mask is.

        (1 + mask * fc_gamma(s)) * batch_norm(x) + mask * fc_beta(s)

    The batch normalisation has no scale and shift of its own.
    """

    def __init__(self, num_channels: int, text_dim: int) -> None:
        super().__init__()
        self.batch_norm2d = GlobalBatchNorm2d(num_channels, affine=False)
        self.fc_gamma = sentence_mlp(text_dim, num_channels)
        self.fc_beta = sentence_mlp(text_dim, num_channels)

    def forward(
        self, x: Float[Tensor, "b c h w"], sentence: Float[Tensor, "b d"], mask: Float[Tensor, "b 1 h w"]
    ) -> Float[Tensor, "b c h w"]:
        gamma = self.fc_gamma(sentence)[:, :, None, None]
        beta = self.fc_beta(sentence)[:, :, None, None]
        x = self.batch_norm2d(x)
        return torch.addcmul(x, mask, torch.addcmul(beta, gamma, x))


def sentence_mlp(text_dim: int, num_channels: int) -> nn.Sequential:
    """Sentences to one number per channel, which begins as 0: (b, text_dim) to (b, num_channels)."""
    last = nn.Linear(text_dim, num_channels)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(OrderedDict(linear1=nn.Linear(text_dim, text_dim), relu=nn.ReLU(), linear2=last))


def mask_predictor(num_in: int, mask_channels: int) -> nn.Sequential:
    """Features to mask logits, (b, num_in, h, w) to (b, 1, h, w)."""
    return nn.Sequential(
        nn.Conv2d(num_in, mask_channels, 3, padding=1),
        GlobalBatchNorm2d(mask_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(mask_channels, 1, 1),
    )


class Discriminator(nn.Module):
    """Image and sentence to one logit per pair: D's one-way output of DF-GAN, no normalisation.

    Halves `image_size` (a power of two, 32 to 256) down to 4 x 4, channels doubling from `nf` up to 16 nf: at 256
    the paper's 1 2 4 8 16 16 16, at 64 1 2 4 8 16. Parameter names are those of the reference code.
    """

    def __init__(self, *, image_size: int = 256, nf: int = 64, text_dim: int = 256) -> None:
        super().__init__()
        self.num_blocks = num_halvings(image_size)
        widths = [nf * min(16, 2**i) for i in range(self.num_blocks + 1)]
        self.conv_img = nn.Conv2d(3, nf, 3, padding=1)
        for i in range(self.num_blocks):
            self.add_module(f"block{i}", DiscriminatorBlock(widths[i], widths[i + 1]))
        self.COND_DNET = PairHead(widths[-1], nf=nf, text_dim=text_dim)

    def features(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c 4 4"]:
        """D's features of images in [-1, 1], which do not depend on sentences."""
        x: Tensor = self.conv_img(image)
        for i in range(self.num_blocks):
            x = self.get_submodule(f"block{i}")(x)
        return x

    def logits(self, features: Float[Tensor, "b c 4 4"], sentence: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Logits of the pairs; above 0 is real and matching."""
        out: Tensor = self.COND_DNET(features, sentence)
        return out

    def forward(self, image: Float[Tensor, "b 3 h w"], sentence: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        return self.logits(self.features(image), sentence)


class DiscriminatorBlock(nn.Module):
    """A residual block that halves the resolution: `avgpool(conv_s(x)) + gamma * conv_r(x)`.

    `conv_s` exists only where the width changes: an importer drops those of block4 and block5, which are never used.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.conv_r = nn.Sequential(
            nn.Conv2d(num_in, num_out, 4, stride=2, padding=1, bias=False),
            LeakyReLU(0.2),
            nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
            LeakyReLU(0.2),
        )
        self.conv_s = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else None
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        # The mean of 2 x 2 pixels, before the 1x1 convolution, with which it commutes: a quarter of the cost. As a
        # resize, because avg_pool2d has a second derivative made of zeros that MA-GP would send through all layers.
        shortcut = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        if self.conv_s is not None:
            shortcut = self.conv_s(shortcut)
        return torch.addcmul(shortcut, self.gamma, self.conv_r(x))


class PairHead(nn.Module):
    """One logit from image features and a sentence that is repeated at each of their 4 x 4 places."""

    def __init__(self, num_in: int, *, nf: int, text_dim: int) -> None:
        super().__init__()
        self.joint_conv = nn.Sequential(
            nn.Conv2d(num_in + text_dim, 2 * nf, 3, padding=1, bias=False),
            LeakyReLU(0.2),
            nn.Conv2d(2 * nf, 1, 4, bias=False),
        )

    def forward(self, features: Float[Tensor, "b c 4 4"], sentence: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        tiled = sentence[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return torch.flatten(self.joint_conv(torch.cat([features, tiled], dim=1)))


def num_halvings(image_size: int) -> int:
    """The number of halvings from `image_size` to 4; a ValueError unless it is a power of two from 32 to 256."""
    if image_size not in (32, 64, 128, 256):
        raise ValueError(f"image_size must be 32, 64, 128 or 256, got {image_size}")
    return image_size.bit_length() - 3
