"""SSA-GAN against numbers of the reference code at reduced width (`tests/parity/ssagan.safetensors`).

The encoders' own numbers are in `test_parity_damsm.py`; here their losses have SSA-GAN's gammas.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference import FORWARD, GRADIENT, STEP, agree, agree_norms, damsm_of, hash_codes, load, real_images, weights
from sclgan.data.types import Captions
from sclgan.encoders.base import TextCodes
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.base import Fake
from sclgan.gans.ssagan import SSAGAN
from sclgan.losses.adversarial import matching_aware_gradient_penalty, squared_gradient_norms
from sclgan.losses.matching import sentence_loss, words_loss
from sclgan.losses.terms import total

D_WEIGHTS = {"real": 1.0, "mismatched": 0.5, "fake": 0.5}
G_WEIGHTS = {"adv": 1.0, "words": 0.05, "sentence": 0.05}
GAMMAS: dict[str, Any] = {"gamma1": 5.0, "gamma2": 5.0, "gamma3": 10.0}


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    return load("ssagan")


@pytest.fixture(scope="module")
def images(stored: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Real images of 256 pixels, and the fixed input that stands for fakes in the discriminator's sections."""
    real = real_images(stored)
    return real, -0.5 * real.flip(3)


@pytest.fixture(scope="module")
def damsm(stored: dict[str, Tensor]) -> DAMSM:
    return damsm_of(stored)


@pytest.fixture(scope="module")
def text(stored: dict[str, Tensor], damsm: DAMSM) -> TextCodes:
    with torch.no_grad():
        return damsm.encode_text(Captions(stored["in.captions"], stored["in.cap_lens"]))


@pytest.fixture
def gan(stored: dict[str, Tensor], damsm: DAMSM) -> SSAGAN:
    gan = SSAGAN(damsm.requires_grad_(False), nf=4, z_dim=10)
    gan.generator.load_state_dict(weights(stored, "netG"))
    # The reference creates shortcut convolutions that it never calls; ours does not.
    dead = ("block4.conv_s.", "block5.conv_s.")
    gan.discriminator.load_state_dict(
        {key: value for key, value in weights(stored, "netD").items() if not key.startswith(dead)}
    )
    return gan


@pytest.mark.parametrize("classes", ["class", "noclass"])
def test_matching_losses(stored: dict[str, Tensor], damsm: DAMSM, text: TextCodes, classes: str) -> None:
    labels = stored["in.class_ids"] if classes == "class" else None
    codes = hash_codes(damsm)
    w0, w1 = words_loss(text.words, text.mask, codes.regions, labels, **GAMMAS)
    s0, s1 = sentence_loss(text.sentence, codes.image, labels, gamma3=GAMMAS["gamma3"])
    for name, value in {"w0": w0, "w1": w1, "s0": s0, "s1": s1}.items():
        agree(value, stored[f"out.damsm.hash_{classes}.{name}"], FORWARD)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_generator(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes, mode: str) -> None:
    gan.generator.train(mode == "train")
    with torch.no_grad():
        fake = gan.generate(stored["in.noise"][0], text)
    image = fake.image
    prefix = f"out.G.{mode}"
    agree(image[:, :, 3::8, 5::8], stored[f"{prefix}.img.sub8"], FORWARD)
    agree(image[:, :, 85 : 85 + 16, 64 : 64 + 16], stored[f"{prefix}.img.crop"], FORWARD)
    pixels = image.flatten(2)
    statistics = torch.stack([pixels.mean(2), pixels.std(2), pixels.abs().mean(2)], dim=-1)
    agree(statistics, stored[f"{prefix}.img.stat"], FORWARD)
    assert [mask.shape[-1] for mask in fake.maps] == [4, 8, 16, 32, 64, 128, 256]
    for mask in fake.maps:
        size = mask.shape[-1]
        if size <= 16:
            agree(mask, stored[f"{prefix}.mask{size}"], FORWARD)
        else:
            some = slice(size // 32, None, size // 16)
            agree(mask[:, :, some, some], stored[f"{prefix}.mask{size}_sub"], FORWARD)


def test_generator_running_statistics(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes) -> None:
    with torch.no_grad():
        gan.generate(stored["in.noise"][0], text)
    prefix = "out.G.train_bn_after."
    buffers = dict(gan.generator.named_buffers())
    keys = [key for key in stored if key.startswith(prefix)]
    assert keys
    for key in keys:
        agree(buffers[key.removeprefix(prefix)], stored[key], FORWARD)


def test_discriminator(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes, images: tuple[Tensor, Tensor]) -> None:
    D = gan.discriminator
    with torch.no_grad():
        real, fake = D.features(images[0]), D.features(images[1])
        agree(real, stored["out.netD.real_feat"], FORWARD)
        agree(fake, stored["out.netD.fake_feat"], FORWARD)
        for name, logits in {
            "real": D.logits(real, text.sentence),
            "fake": D.logits(fake, text.sentence),
            "mis": D.logits(real[:2], text.sentence[1:]),
        }.items():
            agree(logits, stored[f"out.netD.{name}_logit"].flatten(), FORWARD)


def test_hinge_terms(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes, images: tuple[Tensor, Tensor]) -> None:
    terms = gan.discriminator_terms(images[0], Fake(images=(images[1],)), text, only=D_WEIGHTS)
    for term, name in {"real": "real", "mismatched": "mis", "fake": "fake"}.items():
        agree(terms[term], stored[f"out.loss.errD_{name}"], FORWARD)
    loss = total(terms, D_WEIGHTS)
    agree(loss, stored["out.loss.errD"], FORWARD)
    loss.backward()
    agree_norms(stored, "netD_hinge", gan.discriminator)


def test_gradient_penalty(
    stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes, images: tuple[Tensor, Tensor]
) -> None:
    """Relative, sample by sample: it is a sixth power, and ranges over orders of magnitude."""
    real, sentence = images[0].clone().requires_grad_(), text.sentence.clone().requires_grad_()
    logits = gan.discriminator(real, sentence)
    norms = squared_gradient_norms(logits, real, sentence).sqrt()
    torch.testing.assert_close(norms.detach(), stored["out.loss.magp_norms"], rtol=FORWARD, atol=0)
    by_image, by_sentence = torch.autograd.grad(logits.sum(), (real, sentence), retain_graph=True)
    agree(by_sentence, stored["out.loss.magp_grad_sent"], FORWARD)
    torch.testing.assert_close(
        by_image.flatten(1).norm(dim=1), stored["out.loss.magp_grad_img_norm"], rtol=FORWARD, atol=0
    )
    agree(2 * matching_aware_gradient_penalty(logits, real, sentence), stored["out.loss.magp"], 6 * FORWARD)

    terms = gan.discriminator_terms(images[0], Fake(images=(images[1],)), text, only=["magp"])
    loss = total(terms, {"magp": 2.0})
    agree(loss, stored["out.loss.magp"], 6 * FORWARD)
    loss.backward()
    agree_norms(stored, "netD_magp", gan.discriminator)


def test_generator_terms(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes) -> None:
    fake = gan.generate(stored["in.noise"][1], text)
    fake.image.retain_grad()
    terms = gan.generator_terms(fake, gan.embed(fake), text, stored["in.class_ids"])
    agree(terms["adv"], stored["out.loss.errG_adv"], FORWARD)
    agree(0.05 * (terms["words"] + terms["sentence"]), stored["out.loss.errG_damsm_times_0_05"], FORWARD)
    loss = total(terms, G_WEIGHTS)
    agree(loss, stored["out.loss.errG_total"], FORWARD)
    loss.backward()
    assert fake.image.grad is not None
    agree(fake.image.grad.norm(), stored["out.loss.errG_fake_grad_norm"], GRADIENT)
    agree_norms(stored, "netG", gan.generator)


def test_three_steps(stored: dict[str, Tensor], gan: SSAGAN, text: TextCodes, images: tuple[Tensor, Tensor]) -> None:
    """Hinge step of D, penalty step of D, step of G; G runs once and its images serve both."""
    before = {key: value.detach().clone() for key, value in gan.generator.named_parameters()}
    before |= {key: value.detach().clone() for key, value in gan.discriminator.named_parameters()}
    d_optimizer = torch.optim.Adam(gan.discriminator.parameters(), lr=4e-4, betas=(0.0, 0.9))
    g_optimizer = torch.optim.Adam(gan.generator.parameters(), lr=1e-4, betas=(0.0, 0.9))
    for step in range(3):
        fake = gan.generate(stored["in.noise"][step + 1], text)
        for name, d_weights in (("errD", D_WEIGHTS), ("magp", {"magp": 2.0})):
            d_optimizer.zero_grad()
            loss = total(gan.discriminator_terms(images[0], fake, text, only=d_weights), d_weights)
            agree(loss, stored[f"out.step{step}.{name}"], STEP)
            loss.backward()
            d_optimizer.step()
        g_optimizer.zero_grad()
        terms = gan.generator_terms(fake, gan.embed(fake), text, stored["in.class_ids"])
        loss = total(terms, G_WEIGHTS)
        agree(loss, stored[f"out.step{step}.errG_total"], STEP)
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
