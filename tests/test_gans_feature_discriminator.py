"""The feature discriminator: its terms against slow sums, where gradients go, one pass per fake, ranks, every GAN."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fakes import PixelBackbone
from ranks import run_on_ranks
from sclgan.data.types import Captions
from sclgan.distributed import average_gradients, own_rows
from sclgan.encoders.base import Encoders, TextCodes
from sclgan.encoders.clip import CLIP
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.augmentation import NUM_DRAWS, Augmentation
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.feature_discriminator import (
    DISCRIMINATOR_TERMS,
    FeatureDiscriminator,
    WithFeatureDiscriminator,
)
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.losses.terms import total

D_WEIGHTS = {"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0} | {
    "features_real": 1.0,
    "features_mismatched": 0.5,
    "features_fake": 0.5,
}
G_WEIGHTS = {"adv": 1.0, "words": 0.05, "sentence": 0.05, "features": 1.0}
LABELS = torch.tensor([0, 1, 0, 2])


class Pyramid(PixelBackbone):
    """A trunk with two maps: the picture in 8 x 8 averages, and ten times those of 4 x 4. Counts its passes."""

    map_channels = (3, 3)
    passes = 0

    def with_maps(self, image: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        self.passes += 1
        regions, pooled = self(image)
        return regions, pooled, (F.adaptive_avg_pool2d(image, 8), 10 * regions)


def make() -> WithFeatureDiscriminator:
    """A tiny SSA-GAN with heads on both maps, everything switched on."""
    torch.manual_seed(0)
    encoders = DAMSM(20, Pyramid, code_size=8, embedding_size=6).eval().requires_grad_(False)
    gan = SSAGAN(encoders, image_size=32, nf=2, z_dim=5, mask_channels=4)
    for parameter in (*gan.generator.parameters(), *gan.discriminator.parameters()):
        nn.init.normal_(parameter, std=0.3)
    return WithFeatureDiscriminator(gan, encoders, FeatureDiscriminator(encoders, maps=(0, 1), width=4))


def inputs(rows: slice = slice(None)) -> tuple[Tensor, Tensor, Captions]:
    generator = torch.Generator().manual_seed(2)
    z, real = torch.randn(4, 5, generator=generator), torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1
    tokens, lengths = torch.randint(1, 20, (4, 6), generator=generator), torch.tensor([6, 2, 4, 1])
    return z[rows], real[rows], Captions(tokens[rows], lengths[rows])


def text_of(gan: WithFeatureDiscriminator, captions: Captions) -> TextCodes:
    return gan.encoders.encode_text(captions)


def test_the_terms_are_hinge_losses_averaged_over_places_and_then_scales():
    gan = make()
    gan.discriminator.eval()  # spectral norms stand still
    z, real, captions = inputs()
    text = text_of(gan, captions)
    fake = gan.generate(z, text)
    found = gan.discriminator_terms(real, fake, text, only=DISCRIMINATOR_TERMS)
    found |= gan.generator_terms(fake, gan.embed(fake), text, LABELS, only=["features"])

    def slow(head: nn.Module, x: Tensor, sentence: Tensor) -> list[float]:
        """The logits of one picture's map, place by place."""
        weight: dict[str, Any] = {name: one.weight / one.sigma() for name, one in head.named_children()}  # type: ignore[operator]
        bias: dict[str, Any] = {name: one.bias for name, one in head.named_children()}
        x = x / (x.square().mean() + 1e-6).sqrt()
        mixed = F.leaky_relu(
            torch.einsum("oc,chw->ohw", weight["mix"][:, :, 0, 0], x) + bias["mix"][:, None, None], 0.2
        )
        padded = F.pad(mixed, (1, 1, 1, 1))
        condition = weight["project"][:, :, 0, 0] @ sentence + bias["project"]
        logits = []
        for row in range(x.shape[1]):
            for column in range(x.shape[2]):
                window = padded[:, row : row + 3, column : column + 3]
                h = F.leaky_relu(torch.einsum("oikl,ikl->o", weight["look"], window) + bias["look"], 0.2)
                logits.append(float(weight["to_logit"][0, :, 0, 0] @ h + bias["to_logit"][0] + condition @ h))
        return logits

    def mean(loss, pairs) -> float:
        return sum(
            sum(loss(logit) for logit in logits) / len(logits)
            for images, sentences in [pairs]
            for image, sentence in zip(images, sentences, strict=True)
            for head, x in zip(gan.features.heads, gan.encoders.encode_image(image[None]).maps, strict=True)
            for logits in [slow(head, x[0], sentence)]
        ) / (len(gan.features.heads) * len(pairs[0]))

    with torch.no_grad():
        sentence = text.sentence
        expected = {
            "features_real": mean(lambda v: max(0, 1 - v), (real, sentence)),
            "features_mismatched": mean(lambda v: max(0, 1 + v), (real[:3], sentence[1:])),
            "features_fake": mean(lambda v: max(0, 1 + v), (fake.image, sentence)),
            "features": mean(lambda v: -v, (fake.image, sentence)),
        }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, rel=1e-5)


def test_where_gradients_go_and_that_the_trunk_sees_a_fake_once():
    gan = make()
    assert isinstance(gan, TextToImageGAN)
    z, real, captions = inputs()
    text = text_of(gan, captions)
    fake = gan.generate(z, text)
    backbone = gan.encoders.image_encoder.backbone  # type: ignore[union-attr]
    assert isinstance(backbone, Pyramid)
    backbone.passes = 0
    total(gan.discriminator_terms(real, fake, text, only=D_WEIGHTS), D_WEIGHTS).backward()
    assert all(p.grad is not None and p.grad.any() for p in gan.features.parameters())
    assert all(p.grad is None for p in gan.generator.parameters())
    gan.discriminator.requires_grad_(False).zero_grad()
    codes = gan.embed(fake)
    total(gan.generator_terms(fake, codes, text, LABELS), G_WEIGHTS).backward()
    assert backbone.passes == 2  # the real pictures and the fakes, whose pass all terms share
    assert all(p.grad is not None and p.grad.any() for p in gan.generator.parameters())
    assert all(p.grad is None for p in (*gan.discriminator.parameters(), *gan.encoders.parameters()))


def test_only_named_terms_are_computed():
    gan = make()
    gan.discriminator.eval()
    z, real, captions = inputs()
    text = text_of(gan, captions)
    fake = gan.generate(z, text)
    together = gan.discriminator_terms(real, fake, text, only=gan.discriminator_term_names)
    assert together.keys() == D_WEIGHTS.keys()
    for name, value in together.items():
        alone = gan.discriminator_terms(real, fake, text, only=[name])
        assert alone.keys() == {name}
        torch.testing.assert_close(alone[name], value)
    assert gan.generator_terms(fake, None, text, LABELS, only=["adv"]).keys() == {"adv"}
    assert gan.generator_terms(fake, gan.embed(fake), text, LABELS, only=["features"]).keys() == {"features"}


def test_real_pictures_are_augmented_and_the_penalty_is_on_the_raw_ones():
    gan = make()
    gan.discriminator.eval()
    z, real, captions = inputs()
    text = text_of(gan, captions)
    fake = gan.generate(z, text)
    augment = Augmentation(("translation",), torch.zeros(4, NUM_DRAWS))
    names = ["real", "mismatched", "features_real", "features_mismatched"]
    found = gan.discriminator_terms(real, fake, text, names, augment)
    expected = gan.discriminator_terms(augment(real), fake, text, names)
    for name in names:
        torch.testing.assert_close(found[name], expected[name])
    # The rows that the shift pushes out of the picture have no part in the penalty, the repeated edge has several.
    through = gan.discriminator_terms(real, fake, text, ["magp"], augment)["magp"]
    on_the_augmented = gan.discriminator_terms(augment(real), fake, text, ["magp"])["magp"]
    assert not torch.isclose(through, on_the_augmented)


def clip() -> Encoders:
    return CLIP(
        20, weights=None, code_size=8, context_length=6, num_text_blocks=1, num_text_heads=2, image_size=32,
        patch_size=8, image_width=8, num_image_blocks=3, num_image_heads=2,
    )  # fmt: skip


GANS: dict[str, tuple[Any, Any]] = {
    "attngan": (partial(AttnGAN, ngf=2, ndf=2, num_stages=2, z_dim=3, condition_dim=2), None),
    "dmgan": (partial(DMGAN, ngf=2, ndf=2, num_stages=2, z_dim=3, condition_dim=2), None),
    "galip": (
        partial(GALIP, nf=2, z_dim=5, feature_blocks=(0, 1), num_prompts=1, code_channels=4, mid_channels=4),
        clip,
    ),
}


@pytest.mark.parametrize("name", GANS)
def test_it_stands_beside_any_gan(name: str):
    torch.manual_seed(0)
    make_gan, make_encoders = GANS[name]
    encoders = make_encoders() if make_encoders else DAMSM(20, Pyramid, code_size=8, embedding_size=6)
    encoders.eval().requires_grad_(False)
    gan = make_gan(encoders, image_size=32)
    both = WithFeatureDiscriminator(gan, encoders, FeatureDiscriminator(encoders, maps=(0, 1), width=4))
    z, real, captions = inputs()
    text = encoders.encode_text(captions)
    fake = both.generate(z, text)
    terms = both.discriminator_terms(real, fake, text, only=both.discriminator_term_names)
    assert terms.keys() == gan.discriminator_term_names | DISCRIMINATOR_TERMS
    terms = both.generator_terms(fake, both.embed(fake), text, LABELS)
    assert terms.keys() == gan.generator_term_names | {"features"}
    terms["features"].backward()
    assert any(p.grad is not None and p.grad.any() for p in gan.generator.parameters())


@pytest.mark.parametrize(
    ("backbone", "maps", "message"),
    [(PixelBackbone, (0,), "gives no maps"), (Pyramid, (0, 2), r"\[0, 2\].*gives 2 maps, of \[3, 3\] channels")],
)
def test_a_trunk_without_these_maps_is_refused(backbone, maps, message):
    with pytest.raises(ValueError, match=message):
        FeatureDiscriminator(DAMSM(20, backbone, code_size=8, embedding_size=6), maps=maps)


def step() -> tuple[list[Tensor], list[Tensor]]:
    """Terms, and gradients averaged over ranks, of D's and G's losses on this rank's rows."""
    torch.set_default_dtype(torch.float64)
    try:
        gan = make()
        rows = own_rows(4)
        z, real, captions = inputs(rows)
        text = text_of(gan, captions)
        fake = gan.generate(z, text)
        d_terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        total(d_terms, D_WEIGHTS).backward()
        average_gradients(gan.discriminator.parameters())
        gradients = [p.grad.clone() for p in gan.discriminator.parameters() if p.grad is not None]
        g_terms = gan.generator_terms(fake, gan.embed(fake), text, LABELS[rows])
        total(g_terms, G_WEIGHTS).backward()
        average_gradients(gan.generator.parameters())
        gradients += [p.grad for p in gan.generator.parameters() if p.grad is not None]
        return [value.detach() for value in (d_terms | g_terms).values()], gradients
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_ranks_are_one_process():
    (terms, gradients), ranks = step(), run_on_ranks(step, 2)
    for place, expected in enumerate(terms):
        torch.testing.assert_close(torch.stack([found[place] for found, _ in ranks]).mean(), expected)
    for _, found in ranks:
        for mine, expected in zip(found, gradients, strict=True):
            torch.testing.assert_close(mine, expected)
