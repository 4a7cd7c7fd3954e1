"""GALIP: sizes, where gradients go, which terms are computed, CLIP left alone, two ranks against one process."""

import copy
from collections.abc import Iterable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ranks import run_on_ranks
from reference import PoolingStub
from sclgan.data.types import Captions
from sclgan.distributed import average_gradients, own_rows
from sclgan.encoders.base import TextCodes
from sclgan.encoders.clip import CLIP
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.galip_generator import Generator
from sclgan.losses.terms import total
from sclgan.train.ema import AveragedModel, constant_decay

D_WEIGHTS = {"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0}
G_WEIGHTS = {"adv": 1.0, "similarity": 4.0}


def make(image_size: int = 16, *, clip_size: int = 8, **arguments: Any) -> GALIP:
    """A tiny GALIP whose residual branches and modulations are switched on, over a CLIP of 2-pixel patches."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "num_text_blocks": 1,
        "num_text_heads": 2,
        "num_image_blocks": 4,
        "num_image_heads": 2,
        "image_width": 12,
    }
    clip = CLIP(20, weights=None, code_size=8, context_length=6, image_size=clip_size, patch_size=2, **sizes)
    blocks = {"feature_blocks": (0, 2, 3), "first_prompt_block": 1, "num_prompts": 2}
    channels = {"code_channels": 6, "mid_channels": 4, "discriminator_channels": 6, "head_channels": 4}
    sizes = {"image_size": image_size, "nf": 2, "z_dim": 5, **blocks, **channels, **arguments}
    gan = GALIP(clip.eval().requires_grad_(False), **sizes)
    for module in (gan.generator, gan.discriminator):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.3)
    return gan


def texts(gan: GALIP, rows: slice = slice(None)) -> TextCodes:
    generator = torch.Generator().manual_seed(1)
    tokens, lengths = torch.randint(1, 20, (4, 6), generator=generator), torch.tensor([6, 2, 4, 3])
    return gan.encoders.encode_text(Captions(tokens[rows], lengths[rows]))


def noise_and_images(image_size: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(4, 5, generator=generator), torch.rand(4, 3, image_size, image_size, generator=generator) * 2 - 1


def norms(parameters: Iterable[nn.Parameter]) -> list[float]:
    return [0.0 if p.grad is None else p.grad.norm().item() for p in parameters]


@pytest.mark.parametrize(
    ("image_size", "clip_size", "sizes"),
    [
        (64, 16, [8, 16, 32, 64]),
        (56, 14, [8, 16, 32, 56]),
        (16, 8, [4, 8, 16]),
        (20, 10, [8, 16, 20]),
    ],
)
def test_any_size(image_size: int, clip_size: int, sizes: list[int]) -> None:
    gan = make(image_size, clip_size=clip_size)
    assert isinstance(gan, TextToImageGAN)
    z, real = noise_and_images(image_size)
    assert [block.size for block in blocks(gan)] == sizes
    with torch.no_grad():
        fake = gan.generate(z, texts(gan))
        assert fake.image.shape == real.shape
        assert gan.embed(fake).layers.shape == (4, 3, 12, clip_size // 2, clip_size // 2)
        terms = gan.generator_terms(fake, gan.embed(fake), texts(gan), torch.arange(4))
    assert -1 <= terms["similarity"] <= 1


def blocks(gan: GALIP) -> list[Any]:
    return list(cast(Generator, gan.generator).GBlocks)


def test_full_size_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        gan = GALIP(CLIP(weights=None))
    assert sum(p.numel() for p in gan.generator.parameters()) == 51_830_211
    # The reference code has two more shortcut convolutions, which it never calls.
    assert sum(p.numel() for p in gan.discriminator.parameters()) == 28_706_821 + 2_099_200 - 2 * 590_592
    assert [block.size for block in blocks(gan)] == [8, 16, 32, 64, 128, 224]
    assert [block.c2.weight.shape[0] for block in blocks(gan)] == [512, 512, 512, 256, 128, 64]


def test_what_does_not_fit_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size must be above 4"):
        make(4)
    with pytest.raises(ValueError, match=r"feature_blocks \(0, 4\) and the 2 .* from 1 .* CLIP's, 0 to 3"):
        make(feature_blocks=(0, 4))
    with pytest.raises(ValueError, match="at least 4 x 4"):
        make(clip_size=6)
    with pytest.raises(ValueError, match="cannot be DAMSM"):
        GALIP(DAMSM(20, PoolingStub, code_size=8))


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
    with pytest.raises(ValueError, match="no terms \\['wgan'\\]"):
        gan.discriminator_terms(real, fake, text, only=["real", "wgan"])


def test_where_gradients_go() -> None:
    gan = make()
    z, real = noise_and_images()
    text = texts(gan)
    fake = gan.generate(z, text)
    total(gan.discriminator_terms(real, fake, text, only=D_WEIGHTS), D_WEIGHTS).backward()
    assert min(norms(gan.discriminator.parameters())) > 0
    assert max(norms(gan.generator.parameters())) == 0

    gan.discriminator.requires_grad_(False).zero_grad()
    total(gan.generator_terms(fake, gan.embed(fake), text, torch.arange(4)), G_WEIGHTS).backward()
    got = dict(zip([n for n, _ in gan.generator.named_parameters()], norms(gan.generator.parameters()), strict=True))
    assert all(norm > 0 for norm in got.values()), [name for name, norm in got.items() if norm == 0]
    assert max(norms(gan.discriminator.parameters())) == 0
    assert max(norms(gan.encoders.parameters())) == 0
    assert not real.requires_grad


def test_clip_encodes_a_fake_once_and_is_part_of_no_network() -> None:
    gan = make()
    z, real = noise_and_images()
    calls: list[object] = []
    gan.encoders.clip.visual.ln_post.register_forward_hook(lambda *args: calls.append(args))
    fake = gan.generate(z, texts(gan))
    gan.discriminator_terms(real, fake, texts(gan), only=D_WEIGHTS)
    codes = gan.embed(fake)
    assert len(calls) == 1
    assert codes is gan.embed(fake)
    for network in (gan.generator, gan.discriminator):
        assert not [name for name in network.state_dict() if "clip" in name.lower() or "resblocks" in name]
    of_clip = {p.data_ptr() for p in gan.encoders.parameters()}
    assert not of_clip & {p.data_ptr() for p in (*gan.generator.parameters(), *gan.discriminator.parameters())}
    averaged = copy.copy(gan)
    averaged.generator = AveragedModel(gan.generator, constant_decay(0.9)).average
    torch.testing.assert_close(averaged.generate(z, texts(gan)).image, fake.image.detach())


def test_the_penalty_is_in_float32_under_autocast() -> None:
    gan = make()
    z, real = noise_and_images()
    with torch.no_grad():
        text, fake = texts(gan), gan.generate(z, texts(gan))
    expected = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
    with torch.autocast("cpu", torch.bfloat16):
        codes = gan.embed(fake)
        assert {x.dtype for x in (codes.image, codes.layers, texts(gan).sentence)} == {torch.float32}
        found = gan.discriminator_terms(real, fake, texts(gan), only=["magp"])
    torch.testing.assert_close(found["magp"], expected["magp"], rtol=0.2, atol=0)  # from features that were rounded
    layers = gan.encoders.features(real, gan.feature_blocks)
    gan.encoders.features = lambda *args: layers.clone()  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16):
        found = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
    for name in ("real", "mismatched", "magp"):
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
    assert found["fake"] != expected["fake"]


def step() -> tuple[list[Tensor], list[Tensor]]:
    """Terms, and gradients averaged over ranks, of D's and G's losses and of CLIP's own on this rank's rows."""
    torch.set_default_dtype(torch.float64)
    try:
        gan = make()
        rows = own_rows(4)
        z, real = (x[rows] for x in noise_and_images())
        text = texts(gan, rows)
        fake = gan.generate(z, text)
        d_terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        total(d_terms, D_WEIGHTS).backward()
        average_gradients(gan.discriminator.parameters())
        gradients = [p.grad.clone() for p in gan.discriminator.parameters() if p.grad is not None]
        g_terms = gan.generator_terms(fake, gan.embed(fake), text, torch.arange(4)[rows])
        total(g_terms, G_WEIGHTS).backward()
        average_gradients(gan.generator.parameters())
        gradients += [p.grad for p in gan.generator.parameters() if p.grad is not None]
        clip = gan.encoders.requires_grad_()
        own = clip.matching_terms(texts(gan, rows), clip.encode_image(real), None)
        own["infonce"].backward()
        average_gradients(clip.parameters())
        gradients += [p.grad for p in clip.parameters() if p.grad is not None]
        return [value.detach() for value in (d_terms | g_terms | own).values()], gradients
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_ranks_are_one_process() -> None:
    terms, gradients = step()
    first, second = run_on_ranks(step, 2)
    torch.testing.assert_close([(a + b) / 2 for a, b in zip(first[0], second[0], strict=True)], terms)
    for ranks in (first, second):
        for found, expected in zip(ranks[1], gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-10)
