"""A discriminator per stage of AttnGAN and DM-GAN, and the adversarial terms of all of them.

Zhang et al. 2018, "StackGAN++", section 4 (conditional and unconditional heads); Xu et al. 2018, "AttnGAN" (CVPR),
Eqs. 4-5. D's layers differ between the two papers and are in their own files.
"""

from collections.abc import Callable, Collection
from itertools import chain, pairwise
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.gans.base import Fake, refuse_unknown
from sclgan.gans.stacked import initialise, stage_sizes
from sclgan.losses import adversarial
from sclgan.losses.terms import Terms

DISCRIMINATOR_TERMS = frozenset({"real_uncond", "real_cond", "fake_uncond", "fake_cond", "mismatched"})

Layer = Callable[[int, int, int], list[nn.Module]]
"""D's layer, (num_in, num_out, kernel_size): a convolution, its normalisation, its activation.

A kernel of 4 halves the resolution, one of 3 keeps it.
"""


class Discriminator(nn.Module):
    """One stage's image to 8 ndf features of 4 x 4, and these to a logit per image and one per pair of image and text.

    Widths are the paper's from 64 pixels on: 1 2 4 8 (times `ndf`) down to 4 x 4 of 64; two more halvings each double
    them, and convolutions that keep the resolution bring them back to 8. Smaller images begin within this row, at 2
    or 4. `first_layer` reads the pixels. Parameter names are those of the reference code, where the sigmoid is a layer.
    """

    def __init__(self, first_layer: Layer, layer: Layer, *, image_size: int, ndf: int, text_dim: int) -> None:
        super().__init__()
        num_halvings = (image_size // 4).bit_length() - 1
        widths = [8 * ndf >> i for i in range(min(4, num_halvings) - 1, -1, -1)]
        layers = [layer(num_in, num_out, 4) for num_in, num_out in pairwise(widths)]
        self.img_code_s16 = nn.Sequential(*first_layer(3, widths[0], 4), *chain.from_iterable(layers))
        self.names = ["img_code_s16"]
        wide, deepest = 8 * ndf, 2**num_halvings
        for stride in (2**i for i in range(5, num_halvings + 1)):
            self._add(f"img_code_s{stride}", layer(wide, 2 * wide, 4))
            wide *= 2
        for i in range(1, num_halvings - 3):
            self._add(f"img_code_s{deepest}_{i}", layer(wide, wide // 2, 3))
            wide //= 2
        joint = nn.Sequential(*layer(wide + text_dim, wide, 3))
        self.COND_DNET = nn.ModuleDict({"jointConv": joint, "outlogits": to_logit(wide)})
        self.UNCOND_DNET = nn.ModuleDict({"outlogits": to_logit(wide)})
        initialise(self)

    def _add(self, name: str, parts: list[nn.Module]) -> None:
        self.add_module(name, nn.Sequential(*parts))
        self.names.append(name)

    def features(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c 4 4"]:
        """D's features of images in [-1, 1], which do not depend on sentences."""
        x = image.contiguous()  # G's are channels-last
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x

    def image_logits(self, features: Float[Tensor, "b c 4 4"]) -> Float[Tensor, " b"]:
        """Logits of the images; above 0 is real."""
        return torch.flatten(self.UNCOND_DNET["outlogits"](features))

    def pair_logits(self, features: Float[Tensor, "b c 4 4"], sentence: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Logits of the pairs; above 0 is real and matching."""
        tiled = sentence[:, :, None, None].expand(-1, -1, 4, 4)
        joint = self.COND_DNET["jointConv"](torch.cat([features, tiled], dim=1))
        return torch.flatten(self.COND_DNET["outlogits"](joint))


def to_logit(num_in: int) -> nn.Sequential:
    """Features of 4 x 4 to one number, (b, num_in, 4, 4) to (b, 1, 1, 1)."""
    return nn.Sequential(nn.Conv2d(num_in, 1, 4, stride=4))


def discriminators(
    first_layer: Layer, layer: Layer, *, image_size: int, num_stages: int, ndf: int, text_dim: int
) -> nn.ModuleList:
    """One `Discriminator` per stage; in a state dict stage k's keys begin with "k.", from 0."""
    sizes = stage_sizes(image_size, num_stages)
    return nn.ModuleList(
        Discriminator(first_layer, layer, image_size=size, ndf=ndf, text_dim=text_dim) for size in sizes
    )


def discriminator_terms(
    discriminators: nn.ModuleList,
    real: Float[Tensor, "b 3 h w"],
    fake: Fake,
    sentence: Float[Tensor, "b d"],
    only: Collection[str],
    following: adversarial.NextSentences | None = None,
) -> Terms:
    """The terms of D named in `only`: BCE of the kinds of images and pairs, each summed over the stages.

    The stages below the last see the real image averaged over squares of pixels.

    Differs from the reference code, which shrinks real images with a bilinear filter.

    Raises:
        ValueError: `only` names a term that is not in `DISCRIMINATOR_TERMS`.
    """
    refuse_unknown(only, DISCRIMINATOR_TERMS)
    sentence = sentence.detach()
    wrong = adversarial.mismatched(sentence, following) if "mismatched" in only else None
    reals = [real]
    for _ in fake.images[1:]:
        reals.insert(0, F.avg_pool2d(reals[0], 2))
    stages = [
        _stage_terms(cast(Discriminator, D), one, other.detach(), sentence, wrong, set(only))
        for D, one, other in zip(discriminators, reals, fake.images, strict=True)
    ]
    return {name: torch.stack([terms[name] for terms in stages]).sum() for name in stages[0]}


def _stage_terms(
    D: Discriminator,
    real: Float[Tensor, "b 3 h w"],
    fake: Float[Tensor, "b 3 h w"],
    sentence: Float[Tensor, "b d"],
    wrong: tuple[Float[Tensor, "m d"], int] | None,
    only: set[str],
) -> Terms:
    """Real, generated and mismatched go through D one after the other: its state moves with every pass, in order."""
    terms: Terms = {}
    if only & {"real_uncond", "real_cond", "mismatched"}:
        real_features = D.features(real)
    if only & {"fake_uncond", "fake_cond"}:
        fake_features = D.features(fake)
    if "real_cond" in only:
        terms["real_cond"] = adversarial.bce_real(D.pair_logits(real_features, sentence))
    if "fake_cond" in only:
        terms["fake_cond"] = adversarial.bce_fake(D.pair_logits(fake_features, sentence))
    if wrong is not None:
        sentences, num_parts = wrong
        logits = D.pair_logits(real_features[: len(sentences)], sentences)
        terms["mismatched"] = adversarial.bce_mismatched(logits, len(real), num_parts)
    if "real_uncond" in only:
        terms["real_uncond"] = adversarial.bce_real(D.image_logits(real_features))
    if "fake_uncond" in only:
        terms["fake_uncond"] = adversarial.bce_fake(D.image_logits(fake_features))
    return terms


def adversarial_term(discriminators: nn.ModuleList, fake: Fake, sentence: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """G's side: the BCE of its images as real, and with their sentences as real pairs, summed over the stages."""
    losses = []
    for D, image in zip(discriminators, fake.images, strict=True):
        features = cast(Discriminator, D).features(image)
        losses.append(adversarial.bce_real(cast(Discriminator, D).image_logits(features)))
        losses.append(adversarial.bce_real(cast(Discriminator, D).pair_logits(features, sentence)))
    return torch.stack(losses).sum()
