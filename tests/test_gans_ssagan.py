"""SSA-GAN: sizes, ranges, where gradients go, which terms are computed, two ranks against one process."""

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
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.ssagan import SSAGAN
from sclgan.losses.terms import total

D_WEIGHTS = {"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0}
G_WEIGHTS = {"adv": 1.0, "words": 0.05, "sentence": 0.05}


def make(image_size: int = 32) -> SSAGAN:
    """A tiny SSA-GAN whose residual branches and modulations are switched on."""
    torch.manual_seed(0)
    encoders = DAMSM(20, PoolingStub, code_size=8, embedding_size=6).eval()
    gan = SSAGAN(encoders.requires_grad_(False), image_size=image_size, nf=2, z_dim=5, mask_channels=4)
    for module in (gan.generator, gan.discriminator):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.3)
    return gan


def texts(gan: SSAGAN, rows: slice = slice(None)) -> TextCodes:
    generator = torch.Generator().manual_seed(1)
    tokens, lengths = torch.randint(1, 20, (4, 6), generator=generator), torch.tensor([6, 2, 4, 1])
    return gan.encoders.encode_text(Captions(tokens[rows], lengths[rows]))


def noise_and_images(image_size: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(4, 5, generator=generator), torch.rand(4, 3, image_size, image_size, generator=generator) * 2 - 1


def norms(parameters: Iterable[nn.Parameter]) -> list[float]:
    return [0.0 if p.grad is None else p.grad.norm().item() for p in parameters]


@pytest.mark.parametrize("image_size", [32, 64, 128, 256])
def test_sizes_and_ranges(image_size: int) -> None:
    gan = make(image_size)
    assert isinstance(gan, TextToImageGAN)
    z, real = noise_and_images(image_size)
    with torch.no_grad():
        fake = gan.generate(z, texts(gan))
        assert fake.image.shape == real.shape
        assert fake.image.abs().max() <= 1
        sizes = [4 * 2**i for i in range(len(fake.maps))]
        assert sizes[-1] == image_size
        for size, mask in zip(sizes, fake.maps, strict=True):
            assert mask.shape == (4, 1, size, size)
            assert mask.min() >= 0
            assert mask.max() <= 1
        assert gan.discriminator.features(real).shape[2:] == (4, 4)
        assert gan.discriminator(real, texts(gan).sentence).shape == (4,)


def test_widths_at_256_are_the_papers() -> None:
    gan = make(256)
    convolutions = [gan.generator.get_submodule(f"block{i}.c2") for i in range(7)]
    assert [c.out_channels for c in convolutions if isinstance(c, nn.Conv2d)] == [16, 16, 16, 16, 8, 4, 2]
    convolutions = [gan.discriminator.get_submodule(f"block{i}.conv_r.0") for i in range(6)]
    assert [c.out_channels for c in convolutions if isinstance(c, nn.Conv2d)] == [4, 8, 16, 32, 32, 32]


def test_full_width_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        gan = SSAGAN(DAMSM(20, PoolingStub), image_size=256)
    assert sum(p.numel() for p in gan.generator.parameters()) == 29_494_273
    # The reference code has two more shortcut convolutions, which it never calls.
    assert sum(p.numel() for p in gan.discriminator.parameters()) == 80_379_526 - 2_099_200


@pytest.mark.parametrize("image_size", [16, 96, 512])
def test_other_sizes_are_refused(image_size: int) -> None:
    with pytest.raises(ValueError, match=f"got {image_size}"):
        make(image_size)


@pytest.mark.parametrize("name", sorted(D_WEIGHTS))
def test_only_named_terms_are_computed(name: str) -> None:
    gan = make()
    z, real = noise_and_images()
    text = texts(gan)
    fake = gan.generate(z, text)
    alone = gan.discriminator_terms(real, fake, text, only=[name])
    together = gan.discriminator_terms(real, fake, text, only=gan.discriminator_term_names)
    assert alone.keys() == {name}
    assert together.keys() == gan.discriminator_term_names
    torch.testing.assert_close(alone[name], together[name])


def test_unknown_terms_are_refused() -> None:
    gan = make()
    z, real = noise_and_images()
    fake = gan.generate(z, texts(gan))
    with pytest.raises(ValueError, match="no terms \\['wgan'\\]"):
        gan.discriminator_terms(real, fake, texts(gan), only=["real", "wgan"])


def test_where_gradients_go() -> None:
    gan = make()
    z, real = noise_and_images()
    text = texts(gan)
    fake = gan.generate(z, text)
    total(gan.discriminator_terms(real, fake, text, only=D_WEIGHTS), D_WEIGHTS).backward()
    assert min(norms(gan.discriminator.parameters())) > 0
    assert max(norms(gan.generator.parameters())) == 0

    gan.discriminator.requires_grad_(False).zero_grad()
    total(gan.generator_terms(fake, gan.embed(fake), text, torch.tensor([0, 1, 0, 2])), G_WEIGHTS).backward()
    got = dict(zip([n for n, _ in gan.generator.named_parameters()], norms(gan.generator.parameters()), strict=True))
    assert all(norm > 0 for norm in got.values()), [name for name, norm in got.items() if norm == 0]
    assert max(norms(gan.discriminator.parameters())) == 0
    assert max(norms(gan.encoders.parameters())) == 0
    assert not real.requires_grad


def test_penalty_gives_biases_a_gradient_of_zero() -> None:
    gan = make()
    z, real = noise_and_images()
    gan.discriminator_terms(real, gan.generate(z, texts(gan)), texts(gan), only=["magp"])["magp"].backward()
    for name, parameter in gan.discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() == (not name.endswith("bias")), name


def step() -> tuple[list[Tensor], list[Tensor]]:
    """Terms, and gradients averaged over ranks, of D's and G's losses on this rank's rows."""
    torch.set_default_dtype(torch.float64)
    try:
        gan = make()
        rows = own_rows(4)
        z, real = (x[rows] for x in noise_and_images())
        text, labels = texts(gan, rows), torch.tensor([0, 1, 0, 2])[rows]
        fake = gan.generate(z, text)
        d_terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        total(d_terms, D_WEIGHTS).backward()
        average_gradients(gan.discriminator.parameters())
        gradients = [p.grad.clone() for p in gan.discriminator.parameters() if p.grad is not None]
        g_terms = gan.generator_terms(fake, gan.embed(fake), text, labels)
        total(g_terms, G_WEIGHTS).backward()
        average_gradients(gan.generator.parameters())
        gradients += [p.grad for p in gan.generator.parameters() if p.grad is not None]
        return [value.detach() for value in (d_terms | g_terms).values()], gradients
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_ranks_are_one_process() -> None:
    terms, gradients = step()
    first, second = run_on_ranks(step, 2)
    torch.testing.assert_close([(a + b) / 2 for a, b in zip(first[0], second[0], strict=True)], terms)
    for ranks in (first, second):
        for found, expected in zip(ranks[1], gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-10)
