"""A second discriminator, on the features of the encoders' frozen trunk, that can be added to any GAN.

Sauer et al. 2021, "Projected GANs Converge Faster" (NeurIPS), section 3 (heads on several scales); Kumari et al. 2022,
"Ensembling Off-the-shelf Models for GAN Training" (CVPR): beside the GAN's own D. The condition enters by projection:
Miyato & Koyama 2018, "cGANs with Projection Discriminator" (ICLR), Eq. 3.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor, nn

from sclgan.encoders.base import Encoders, ImageCodes, TextCodes
from sclgan.gans.augmentation import Augment, unchanged
from sclgan.gans.base import EncodedFake, Fake, TextToImageGAN
from sclgan.gans.layers import SpectralConv2d
from sclgan.losses import adversarial
from sclgan.losses.precision import as_float32, full_precision
from sclgan.losses.terms import Terms

Logits = list[Float[Tensor, "_m _p"]]
"""A logit per scale, picture and place; above 0 is real and matching."""


class FeatureDiscriminator(nn.Module):
    """A head per scale of the trunk's features.

    `maps` are the places in `encoders.map_channels`, fine to coarse; heads have `width` channels.

    Raises:
        ValueError: the trunk of the encoders does not have these maps.
    """

    def __init__(
        self, encoders: Encoders, *, maps: tuple[int, ...] = (0, 1, 2, 3), width: Annotated[int, Ge(1)] = 64
    ) -> None:
        super().__init__()
        channels = encoders.map_channels
        if not maps or not all(0 <= place < len(channels) for place in maps):
            has = f"gives {len(channels)} maps, of {list(channels)} channels" if channels else "gives no maps"
            raise ValueError(
                f"feature_discriminator.maps are {list(maps)}, but the trunk of {type(encoders).__name__} {has}: "
                "choose among them, or leave feature_discriminator out"
            )
        self.maps = maps
        self.heads = nn.ModuleList(FeatureHead(channels[place], encoders.code_size, width) for place in maps)

    def forward(
        self, maps: Sequence[Float[Tensor, "b _c _h _w"]], *sentences: Float[Tensor, "_m d"]
    ) -> tuple[Logits, ...]:
        """The logits of the pictures with each of the sentences; pictures without one, the last rows, have none."""
        with full_precision():
            chosen = [as_float32(maps[place]) for place in self.maps]
            by_head = [head(x, sentences) for head, x in zip(self.heads, chosen, strict=True)]
        return tuple(list(scales) for scales in zip(*by_head, strict=True))


class FeatureHead(nn.Module):
    """Features of one scale and sentences to a logit per place.

        h     = lrelu( conv3x3( lrelu( conv1x1( x / rms(x) ) ) ) )
        logit = conv1x1(h) + < h, project(sentence) >

    All convolutions are under spectral norm. `rms` is over a picture's channels and places: the scales of a trunk
    differ in size by orders of magnitude.
    """

    def __init__(self, num_in: int, text_dim: int, width: int) -> None:
        super().__init__()
        self.mix = SpectralConv2d(num_in, width, 1, stride=1, padding=0)
        self.look = SpectralConv2d(width, width, 3, stride=1, padding=1)
        self.to_logit = SpectralConv2d(width, 1, 1, stride=1, padding=0)
        self.project = SpectralConv2d(text_dim, width, 1, stride=1, padding=0)

    def forward(
        self, x: Float[Tensor, "b c h w"], sentences: Sequence[Float[Tensor, "_m d"]]
    ) -> tuple[Float[Tensor, "_m p"], ...]:
        """For each of the sentences the logits at all p = h w places of the first m pictures."""
        x = x * torch.rsqrt(x.square().mean((1, 2, 3), keepdim=True) + 1e-6)
        h = F.leaky_relu(self.look(F.leaky_relu(self.mix(x), 0.2)), 0.2)
        alone = self.to_logit(h).flatten(1)  # [b p]
        conditions = self.project(torch.cat(list(sentences))[:, :, None, None]).flatten(1)
        of_each = conditions.split([len(sentence) for sentence in sentences])
        return tuple(alone[: len(one)] + torch.einsum("mcp,mc->mp", h[: len(one)].flatten(2), one) for one in of_each)


class WithFeatureDiscriminator:
    """A GAN and a `FeatureDiscriminator` beside its own D; satisfies `TextToImageGAN`.

        L_D = L_D of the GAN + features_real + (features_mismatched + features_fake) / 2
        L_G = L_G of the GAN + features

    The four are hinge losses, averaged over scales and places. The weights belong to the recipe. The trunk runs once
    per fake: these terms, the matching terms and the contrast read the same pass.
    """

    def __init__(self, gan: TextToImageGAN, encoders: Encoders, features: FeatureDiscriminator) -> None:
        self.gan, self.encoders, self.features = gan, encoders, features
        self.generator, self.z_dim = gan.generator, gan.z_dim
        self.discriminator: nn.Module = nn.ModuleDict({"own": gan.discriminator, "features": features})
        self.discriminator_term_names = gan.discriminator_term_names | DISCRIMINATOR_TERMS
        self.generator_term_names = gan.generator_term_names | GENERATOR_TERMS
        self.terms_without_codes = gan.terms_without_codes

    def generate(self, z: Float[Tensor, "b z"], text: TextCodes) -> EncodedFake:
        """The GAN's images, to be encoded when they are first judged."""
        fake = self.gan.generate(z, text)
        if isinstance(fake, EncodedFake):
            return fake
        return EncodedFake(**vars(fake), encode=self.encoders.encode_image)

    def embed(self, fake: Fake) -> ImageCodes:
        """The frozen encoder's codes of the last image; gradients flow into the image."""
        return self.gan.embed(fake)

    def discriminator_terms(
        self,
        real: Float[Tensor, "b 3 h w"],
        fake: Fake,
        text: TextCodes,
        only: Collection[str],
        augment: Augment = unchanged,
    ) -> Terms:
        """The terms of both discriminators named in `only`."""
        wanted = set(only) & DISCRIMINATOR_TERMS
        others = set(only) - DISCRIMINATOR_TERMS
        terms = self.gan.discriminator_terms(real, fake, text, others, augment) if others else {}
        sentence = text.sentence.detach()
        if wanted & {"features_real", "features_mismatched"}:
            with torch.no_grad():
                maps = self.encoders.encode_image(augment(real)).maps
            wrong = adversarial.mismatched_sentences(sentence)
            matching, mismatched = self.features(maps, sentence, wrong)
        if "features_real" in wanted:
            terms["features_real"] = per_picture(lambda x: F.relu(1 - x), matching).mean()
        if "features_mismatched" in wanted:
            values = per_picture(lambda x: F.relu(1 + x), mismatched)
            terms["features_mismatched"] = adversarial.mean_over_mismatched(values, len(real))
        if "features_fake" in wanted:
            (logits,) = self.features([x.detach() for x in self.embed(fake).maps], sentence)
            terms["features_fake"] = per_picture(lambda x: F.relu(1 + x), logits).mean()
        return terms

    def generator_terms(
        self,
        fake: Fake,
        codes: ImageCodes | None,
        text: TextCodes,
        labels: Int[Tensor, " b"],
        only: Collection[str] | None = None,
    ) -> Terms:
        """The terms of G named in `only`, or all."""
        wanted = self.generator_term_names if only is None else set(only)
        terms = self.gan.generator_terms(fake, codes, text, labels, wanted - GENERATOR_TERMS)
        if "features" in wanted:
            assert codes is not None  # `features` is not among `terms_without_codes`
            (logits,) = self.features(codes.maps, text.sentence)
            terms["features"] = -per_picture(lambda x: x, logits).mean()
        return terms


DISCRIMINATOR_TERMS = frozenset({"features_real", "features_mismatched", "features_fake"})
GENERATOR_TERMS = frozenset({"features"})


def per_picture(loss: Callable[[Tensor], Tensor], logits: Logits) -> Float[Tensor, " m"]:
    """The loss of each picture: the mean over the places of a scale, then over scales."""
    return torch.stack([loss(scale).mean(1) for scale in logits]).mean(0)
