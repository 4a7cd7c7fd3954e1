"""AttnGAN and DM-GAN: sizes, ranges, where gradients go, padding, terms, two ranks against one process."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from ranks import run_on_ranks
from reference import PoolingStub
from sclgan.data.types import Captions
from sclgan.distributed import average_gradients, own_rows
from sclgan.encoders.base import TextCodes
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.stacked import MaskOrder, attend
from sclgan.gans.stacked_discriminators import Discriminator
from sclgan.losses.adversarial import bce_real
from sclgan.losses.terms import total

D_WEIGHTS = {"real_uncond": 1 / 2, "real_cond": 1 / 2, "fake_uncond": 1 / 3, "fake_cond": 1 / 3, "mismatched": 1 / 3}
G_WEIGHTS = {"adv": 1.0, "kl": 1.0, "words": 5.0, "sentence": 5.0}
Z_DIM = 5 + 3

KINDS: dict[str, type[AttnGAN | DMGAN]] = {"attngan": AttnGAN, "dmgan": DMGAN}
every_gan = pytest.mark.parametrize("name", KINDS)


def make(name: str, image_size: int = 32, num_stages: int = 2, mask_order: MaskOrder = "own") -> AttnGAN | DMGAN:
    torch.manual_seed(0)
    encoders = DAMSM(20, PoolingStub, code_size=8, embedding_size=6).eval().requires_grad_(False)
    nn.init.normal_(encoders.text_encoder.encoder.weight)  # words that attention tells apart
    return KINDS[name](
        encoders,
        image_size=image_size,
        num_stages=num_stages,
        ngf=2,
        ndf=2,
        z_dim=5,
        condition_dim=3,
        num_residual_blocks=1,
        mask_order=mask_order,
    )


def texts(gan: AttnGAN | DMGAN, rows: slice = slice(None)) -> TextCodes:
    generator = torch.Generator().manual_seed(1)
    tokens, lengths = torch.randint(1, 20, (4, 6), generator=generator), torch.tensor([6, 2, 4, 1])
    return gan.encoders.encode_text(Captions(tokens[rows], lengths[rows]))


def noise_and_images(image_size: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    real = torch.rand(4, 3, image_size, image_size, generator=generator) * 2 - 1
    return torch.randn(4, Z_DIM, generator=generator), real


def norms(module: nn.Module) -> dict[str, float]:
    return {name: 0.0 if p.grad is None else p.grad.norm().item() for name, p in module.named_parameters()}


@every_gan
@pytest.mark.parametrize(
    ("image_size", "num_stages"), [(16, 1), (32, 1), (64, 1), (32, 2), (64, 2), (128, 2), (64, 3), (256, 3)]
)
def test_sizes_and_ranges(name: str, image_size: int, num_stages: int) -> None:
    gan = make(name, image_size, num_stages)
    assert isinstance(gan, TextToImageGAN)
    assert gan.z_dim == Z_DIM
    z, real = noise_and_images(image_size)
    with torch.no_grad():
        text = texts(gan)
        fake = gan.generate(z, text)
        sizes = [image_size // 2**i for i in reversed(range(num_stages))]
        assert [image.shape for image in fake.images] == [(4, 3, size, size) for size in sizes]
        assert all(image.abs().max() <= 1 for image in fake.images)
        assert [maps.shape for maps in fake.maps] == [(4, 6, size, size) for size in sizes[:-1]]
        for maps in fake.maps:
            torch.testing.assert_close(maps.sum(1), torch.ones_like(maps[:, 0]))
            assert not maps[~text.mask].any()
        for D, image in zip(gan.discriminator, fake.images, strict=True):
            assert isinstance(D, Discriminator)
            features = D.features(image)
            assert features.shape == (4, 16, 4, 4)
            assert D.image_logits(features).shape == D.pair_logits(features, text.sentence).shape == (4,)
        terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        assert all(value > 0 for value in terms.values())


@every_gan
@pytest.mark.parametrize(("image_size", "num_stages"), [(128, 1), (16, 2), (96, 2), (512, 3), (64, 0)])
def test_other_sizes_are_refused(name: str, image_size: int, num_stages: int) -> None:
    with pytest.raises(ValueError, match="do not begin at 16, 32 or 64"):
        make(name, image_size, num_stages)


@every_gan
def test_only_named_terms_are_computed(name: str) -> None:
    gan = make(name)
    if name == "dmgan":
        gan.discriminator.eval()  # in training every call moves the spectral norms
    z, real = noise_and_images()
    text = texts(gan)
    fake = gan.generate(z, text)
    together = gan.discriminator_terms(real, fake, text, only=gan.discriminator_term_names)
    assert together.keys() == gan.discriminator_term_names == D_WEIGHTS.keys()
    for term in D_WEIGHTS:
        alone = gan.discriminator_terms(real, fake, text, only=[term])
        assert alone.keys() == {term}
        torch.testing.assert_close(alone[term], together[term])
    with pytest.raises(ValueError, match="no terms \\['wgan'\\]"):
        gan.discriminator_terms(real, fake, text, only=["real_cond", "wgan"])


@every_gan
@pytest.mark.parametrize("num_stages", [1, 2])
def test_where_gradients_go(name: str, num_stages: int) -> None:
    gan = make(name, num_stages=num_stages)
    z, real = noise_and_images()
    text = texts(gan)
    fake = gan.generate(z, text)
    total(gan.discriminator_terms(real, fake, text, only=D_WEIGHTS), D_WEIGHTS).backward()
    assert all(norm > 0 for norm in norms(gan.discriminator).values())
    assert max(norms(gan.generator).values()) == 0

    gan.discriminator.requires_grad_(False).zero_grad()
    total(gan.generator_terms(fake, gan.embed(fake), text, torch.tensor([0, 1, 0, 2])), G_WEIGHTS).backward()
    assert [key for key, norm in norms(gan.generator).items() if norm == 0] == []
    assert max(norms(gan.discriminator).values()) == 0
    assert max(norms(gan.encoders).values()) == 0
    assert not real.requires_grad


@every_gan
def test_images_depend_on_both_parts_of_the_noise(name: str) -> None:
    gan = make(name)
    z, _ = noise_and_images()
    with torch.no_grad():
        image = gan.generate(z, texts(gan)).image
        assert torch.equal(gan.generate(z, texts(gan)).image, image)
        for column in (0, Z_DIM - 1):
            other = z.clone()
            other[:, column] += 1
            assert not torch.allclose(gan.generate(other, texts(gan)).image, image)


@every_gan
def test_a_caption_alone_gives_its_image_in_a_batch(name: str) -> None:
    z, _ = noise_and_images()
    orders: dict[MaskOrder, bool] = {"own": True, "reference": False}
    for mask_order, alike in orders.items():
        gan = make(name, mask_order=mask_order)
        gan.generator.eval()
        with torch.no_grad():
            together = gan.generate(z, texts(gan)).image
            for row in range(4):
                tokens = slice(row, row + 1)
                alone = gan.generate(z[tokens], texts(gan, tokens)).image
                if alike:
                    torch.testing.assert_close(alone, together[tokens])
            if not alike:  # a caption of one word, whose pixels read the longer ones' padding
                assert not torch.allclose(alone, together[tokens], atol=1e-3)


@pytest.mark.parametrize("order", ["own", "reference"])
def test_attention_is_what_the_loops_say(order: MaskOrder) -> None:
    generator = torch.Generator().manual_seed(0)
    features, keys, values = (torch.randn(2, 3, *size, generator=generator) for size in ((2, 2), (4,), (4,)))
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    context, maps = attend(features, keys, values, mask, order)
    for row in range(2):
        for place in range(4):
            pixel = features[row].flatten(1)[:, place]
            words = mask[row if order == "own" else (row * 4 + place) % 2].nonzero()[:, 0].tolist()
            scores = torch.stack([pixel @ keys[row, :, word] for word in words]).softmax(0)
            expected = torch.zeros(4)
            expected[words] = scores
            torch.testing.assert_close(maps[row].flatten(1)[:, place], expected)
            torch.testing.assert_close(context[row].flatten(1)[:, place], values[row] @ expected)


@every_gan
def test_adversarial_terms_are_sums_over_the_stages(name: str) -> None:
    gan = make(name)
    gan.discriminator.eval()
    z, _ = noise_and_images()
    with torch.no_grad():
        text = texts(gan)
        fake = gan.generate(z, text)
        expected = torch.zeros(())
        for D, image in zip(gan.discriminator, fake.images, strict=True):
            assert isinstance(D, Discriminator)
            features = D.features(image)
            expected += bce_real(D.image_logits(features)) + bce_real(D.pair_logits(features, text.sentence))
        terms = gan.generator_terms(fake, gan.embed(fake), text, torch.arange(4))
    assert terms.keys() == G_WEIGHTS.keys()
    torch.testing.assert_close(terms["adv"], expected)


def step(name: str) -> tuple[list[Tensor], list[Tensor]]:
    """(Terms), (gradients averaged over ranks, state of both networks) of D's and G's losses on this rank's rows."""
    torch.set_default_dtype(torch.float64)
    try:
        gan = make(name)
        rows = own_rows(4)
        z, real = (x[rows] for x in noise_and_images())
        text, labels = texts(gan, rows), torch.tensor([0, 1, 0, 2])[rows]
        fake = gan.generate(z, text)
        d_terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        total(d_terms, D_WEIGHTS).backward()
        average_gradients(gan.discriminator.parameters())
        gradients = gradients_of(gan.discriminator.parameters())
        gan.discriminator.zero_grad()
        g_terms = gan.generator_terms(fake, gan.embed(fake), text, labels)
        total(g_terms, G_WEIGHTS).backward()
        average_gradients(gan.generator.parameters())
        gradients += gradients_of(gan.generator.parameters())
        state = [*gan.generator.buffers(), *gan.discriminator.buffers()]
        return [value.detach() for value in (d_terms | g_terms).values()], gradients + state
    finally:
        torch.set_default_dtype(torch.float32)


def gradients_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad.clone() for p in parameters if p.grad is not None]


@every_gan
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_ranks_are_one_process(name: str, num_ranks: int) -> None:
    """With four ranks, of one row each, the last has no mismatched pair."""
    terms, shared = step(name)
    ranks = run_on_ranks(step, num_ranks, name)
    torch.testing.assert_close(
        [torch.stack(values).mean(0) for values in zip(*(r[0] for r in ranks), strict=True)], terms
    )
    for _, found in ranks:
        torch.testing.assert_close(found, shared, rtol=1e-5, atol=1e-10)
