"""GALIP and CLIP against numbers of the reference code at reduced width (`tests/parity/galip.safetensors`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from reference import FORWARD, GRADIENT, STEP, agree, agree_norms, load, real_images, weights
from sclgan.data.types import Captions
from sclgan.encoders.base import TextCodes
from sclgan.encoders.clip import CLIP
from sclgan.gans.base import Fake
from sclgan.gans.galip import GALIP
from sclgan.gans.galip_generator import Generator
from sclgan.losses.adversarial import matching_aware_gradient_penalty, squared_gradient_norms
from sclgan.losses.terms import total

D_WEIGHTS = {"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0}
G_WEIGHTS = {"adv": 1.0, "similarity": 4.0}


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load("galip")


@pytest.fixture(scope="module")
def real(stored: dict[str, Tensor]) -> Tensor:
    return real_images(stored)


@pytest.fixture(scope="module")
def clip(stored: dict[str, Tensor]) -> CLIP:
    """The stored encoders, with the reference's own preparation of images."""
    sizes: dict[str, Any] = {"code_size": 16, "context_length": 12, "num_text_blocks": 2, "num_text_heads": 2}
    clip = CLIP(40, weights=None, reference_input=True, image_width=32, num_image_heads=2, **sizes)
    clip.clip.load_state_dict(weights(stored, "clip"))
    return clip.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def text(stored: dict[str, Tensor], clip: CLIP) -> TextCodes:
    tokens = stored["in.tokens"].long()
    with torch.no_grad():
        return clip.encode_text(Captions(tokens, tokens.argmax(dim=1) + 1))


@pytest.fixture
def gan(stored: dict[str, Tensor], clip: CLIP) -> GALIP:
    sizes: dict[str, Any] = {"nf": 4, "z_dim": 10, "code_channels": 16, "mid_channels": 8}
    gan = GALIP(clip, **sizes, discriminator_channels=24, head_channels=12)
    gan.generator.load_state_dict(weights(stored, "netG"))
    gan.discriminator.load_state_dict(live(weights(stored, "netD") | weights(stored, "netC")))
    return gan


def live(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the shortcut convolutions that the reference creates and never calls."""
    return {key: x for key, x in state.items() if not (key.startswith("DBlocks.") and ".conv_s." in key)}


@contextmanager
def outputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What modules return within the context, by the names they are given."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        return lambda module, args, output: found.update({name: output.clone()})

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]  # type: ignore[arg-type]
    yield found
    for hook in hooks:
        hook.remove()


def sampled(image: Tensor) -> dict[str, Tensor]:
    size = image.shape[-1]
    pixels = image.flatten(2)
    return {
        "sub8": image[:, :, 3::8, 5::8],
        "crop": image[:, :, size // 3 : size // 3 + 16, size // 4 : size // 4 + 16],
        "stat": torch.stack([pixels.mean(2), pixels.std(2), pixels.abs().mean(2)], dim=-1),
    }


def test_text(stored: dict[str, Tensor], text: TextCodes) -> None:
    agree(text.sentence, stored["out.text.sent"], FORWARD)
    agree(text.sentence, stored["out.text.encode_text"], FORWARD)
    # The reference has states behind the end sign too, which nothing uses.
    agree(text.words, stored["out.text.words"].transpose(1, 2) * text.mask[:, None], FORWARD)


def test_images(stored: dict[str, Tensor], clip: CLIP, gan: GALIP, text: TextCodes, real: Tensor) -> None:
    for name, values in sampled(clip.clip_input(real)).items():
        agree(values, stored[f"out.clip_input.{name}"], FORWARD)
    with torch.no_grad():
        fake = gan.generate(stored["in.noise"][0], text)
        for name, codes in {"real": gan.embed(Fake(images=(real,))), "fake": gan.embed(fake)}.items():
            agree(codes.layers, stored[f"out.image.{name}_feats"], FORWARD)
            agree(codes.image, stored[f"out.image.{name}_emb"], FORWARD)
            if name == "real":
                agree(codes.image, stored["out.image.encode_image"], FORWARD)
        clipped = gan.embed(Fake(images=(fake.image.clamp(-1, 1),)))
        agree(torch.cosine_similarity(clipped.image, text.sentence).mean(), stored["out.clip_score"], FORWARD)


def test_generator(stored: dict[str, Tensor], gan: GALIP, text: TextCodes) -> None:
    generator = cast(Generator, gan.generator)
    mapping = generator.mapping
    watched = {"fuse_feat": mapping.conv_fuse, "prompts": mapping.fc_prompt, "mapping": mapping.conv}
    watched |= {f"GBlock{i}.sub": block for i, block in enumerate(generator.GBlocks)}
    bridged: list[Tensor] = []
    bridge = gan.bridge
    gan.bridge = lambda *args: bridged.append(bridge(*args)) or bridged[-1]  # type: ignore[assignment]
    with torch.no_grad(), outputs(watched) as found:
        image = gan.generate(stored["in.noise"][0], text).image
    for name, value in found.items():
        if name.endswith(".sub"):
            step = max(1, value.shape[-1] // 8)
            value = value[:, ::2, 1::step, 0::step]
        agree(value, stored[f"out.G.{name}"], FORWARD)
    agree(bridged[0], stored["out.G.map_feat"], FORWARD)
    for name, value in sampled(image).items():
        agree(value, stored[f"out.G.img.{name}"], FORWARD)


def test_discriminator(stored: dict[str, Tensor], gan: GALIP, text: TextCodes) -> None:
    D = gan.discriminator
    with torch.no_grad():
        real, fake = (D.features(stored[f"out.image.{name}_feats"]) for name in ("real", "fake"))
        agree(real, stored["out.netD.real"], FORWARD)
        agree(fake, stored["out.netD.fake"], FORWARD)
        for name, logits in {
            "real": D.logits(real, text.sentence),
            "mis": D.logits(real, text.sentence.roll(-1, dims=0)),
            "fake": D.logits(fake, text.sentence),
        }.items():
            agree(logits, stored[f"out.netC.{name}"].flatten(), FORWARD)


def test_discriminator_terms(stored: dict[str, Tensor], gan: GALIP, text: TextCodes, real: Tensor) -> None:
    fake = gan.generate(stored["in.noise"][0], text)
    terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
    for term, name in {"real": "errD_real", "mismatched": "errD_mis", "fake": "errD_fake"}.items():
        agree(terms[term], stored[f"out.loss.{name}"], FORWARD)
    agree(2 * terms["magp"], stored["out.loss.magp"], FORWARD)
    loss = total(terms, D_WEIGHTS)
    agree(loss, stored["out.loss.errD"], FORWARD)
    loss.backward()
    agree_norms(stored, "netD", gan.discriminator)
    agree_norms(stored, "netC", gan.discriminator)


def test_gradient_penalty(stored: dict[str, Tensor], gan: GALIP, text: TextCodes) -> None:
    """Relative, sample by sample: it is a sixth power, and ranges over orders of magnitude."""
    layers, sentence = stored["out.image.real_feats"].clone().requires_grad_(), text.sentence.clone().requires_grad_()
    logits = gan.discriminator(layers, sentence)
    norms = squared_gradient_norms(logits, layers, sentence).sqrt()
    torch.testing.assert_close(norms.detach(), stored["out.loss.magp_norms"], rtol=FORWARD, atol=0)
    by_layers, by_sentence = torch.autograd.grad(logits.sum(), (layers, sentence), retain_graph=True)
    agree(by_sentence, stored["out.loss.magp_grad_sent"], FORWARD)
    expected = stored["out.loss.magp_grad_feat_norm"]
    torch.testing.assert_close(by_layers.flatten(1).norm(dim=1), expected, rtol=FORWARD, atol=0)
    agree(2 * matching_aware_gradient_penalty(logits, layers, sentence), stored["out.loss.magp"], FORWARD)


def test_generator_terms(stored: dict[str, Tensor], gan: GALIP, text: TextCodes) -> None:
    fake = gan.generate(stored["in.noise"][1], text)
    fake.image.retain_grad()
    terms = gan.generator_terms(fake, gan.embed(fake), text, torch.arange(3))
    agree(terms["adv"], stored["out.loss.errG_adv"], FORWARD)
    agree(-terms["similarity"], stored["out.loss.clip_sim"], FORWARD)
    loss = total(terms, G_WEIGHTS)
    agree(loss, stored["out.loss.errG"], FORWARD)
    loss.backward()
    assert fake.image.grad is not None
    agree(fake.image.grad.norm(), stored["out.loss.errG_fake_grad_norm"], GRADIENT)
    agree_norms(stored, "netG", gan.generator)


def test_three_steps(stored: dict[str, Tensor], gan: GALIP, text: TextCodes, real: Tensor) -> None:
    """A step of D, then one of G; G runs once and its images serve both."""
    before = {key: value.detach().clone() for key, value in gan.generator.named_parameters()}
    before |= {key: value.detach().clone() for key, value in gan.discriminator.named_parameters()}
    d_optimizer = torch.optim.Adam(gan.discriminator.parameters(), lr=4e-4, betas=(0.0, 0.9))
    g_optimizer = torch.optim.Adam(gan.generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    for step in range(3):
        fake = gan.generate(stored["in.noise"][step + 1], text)
        d_optimizer.zero_grad()
        terms = gan.discriminator_terms(real, fake, text, only=D_WEIGHTS)
        agree(2 * terms["magp"], stored[f"out.step{step}.magp"], STEP)
        loss = total(terms, D_WEIGHTS)
        agree(loss, stored[f"out.step{step}.errD"], STEP)
        loss.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        terms = gan.generator_terms(fake, gan.embed(fake), text, torch.arange(3))
        agree(-terms["similarity"], stored[f"out.step{step}.clip_sim"], STEP)
        loss = total(terms, G_WEIGHTS)
        agree(loss, stored[f"out.step{step}.errG"], STEP)
        loss.backward()
        g_optimizer.step()

    for name, module, rate in (("netG", gan.generator, 1e-4), ("netD", gan.discriminator, 4e-4)):
        parameters = dict(module.named_parameters())
        prefix = f"out.after3.{name}."
        keys = [key.removeprefix(prefix) for key in stored if key.startswith(prefix)]
        assert keys
        for key in keys:
            difference = (parameters[key].detach() - stored[prefix + key]).abs()
            # Adam moves an entry by its gradient's sign; where the gradient is nearly 0, rounding decides the sign.
            assert difference.max() <= 6 * rate, key
            assert difference.mean() <= STEP * stored[prefix + key].abs().max(), key
            assert difference.mean() <= 0.2 * (before[key] - stored[prefix + key]).abs().mean(), key
