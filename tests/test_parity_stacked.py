"""AttnGAN and DM-GAN against numbers of their reference codes at reduced width (`tests/parity/{attngan,dmgan}`).

The two stored files have the same names for the same things.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference import FORWARD, GRADIENT, STEP, agree, agree_norms, damsm_of, load, real_images, weights
from sclgan.data.types import Captions
from sclgan.encoders.base import TextCodes
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.base import Fake
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.stacked import MaskOrder
from sclgan.gans.stacked_discriminators import Discriminator, discriminator_terms
from sclgan.losses.terms import total

D_WEIGHTS = {"real_uncond": 1 / 2, "real_cond": 1 / 2, "fake_uncond": 1 / 3, "fake_cond": 1 / 3, "mismatched": 1 / 3}
G_WEIGHTS = {"adv": 1.0, "kl": 1.0, "words": 5.0, "sentence": 5.0}
RATE = 2e-4


@dataclass(frozen=True)
class Reference:
    """The stored tensors of one model, its encoders, and the inputs of its outputs."""

    name: str
    stored: dict[str, Tensor]
    damsm: DAMSM
    text: TextCodes
    reals: list[Tensor]
    """Real images at every stage's size."""
    fake: Fake
    """Fixed images at every stage's size that stand for fakes in D's sections."""

    def noise(self, step: int) -> Tensor:
        """What `generate` takes: z, and behind it the noise of the conditioning augmentation."""
        return torch.cat([self.stored["in.noise"][step], self.stored["in.eps"][step]], dim=1)

    def gan(self, mask_order: MaskOrder = "reference") -> AttnGAN | DMGAN:
        """A new GAN with the stored weights."""
        kind: type[AttnGAN | DMGAN] = AttnGAN if self.name == "attngan" else DMGAN
        gan = kind(self.damsm, ngf=8, ndf=4, z_dim=10, condition_dim=8, num_residual_blocks=1, mask_order=mask_order)
        gan.generator.load_state_dict(weights(self.stored, "netG"))
        for stage, D in enumerate(gan.discriminator):
            D.load_state_dict(weights(self.stored, f"netD{stage}"))
        return gan

    def sum_over_stages(self, key: str) -> Tensor:
        """The sum of three stored numbers: `key` ends with the stage."""
        return torch.stack([self.stored[f"{key}{stage}"] for stage in range(3)]).sum()


@pytest.fixture(scope="module", params=["attngan", "dmgan"])
def ref(request: pytest.FixtureRequest) -> Reference:
    # DM-GAN's spectrally normalised convolutions are modules within modules there, with three names for the weight.
    stored = {key.replace(".module.", ".").replace("weight_bar", "weight"): x for key, x in load(request.param).items()}
    damsm, real = damsm_of(stored).requires_grad_(False), real_images(stored)
    text = damsm.encode_text(Captions(stored["in.captions"], stored["in.cap_lens"]))
    reals = [F.avg_pool2d(real, 4), F.avg_pool2d(real, 2), real]
    return Reference(request.param, stored, damsm, text, reals, Fake(tuple(-0.5 * image.flip(3) for image in reals)))


@pytest.mark.parametrize(
    ("section", "mask_order"), [("eval", "reference"), ("train", "reference"), ("eval_fixedmask", "own")]
)
def test_generator(ref: Reference, section: str, mask_order: MaskOrder) -> None:
    """Images of every stage and attention maps, sampled."""
    gan = ref.gan(mask_order)
    gan.generator.train(section == "train")
    with torch.no_grad():
        fake = gan.generate(ref.noise(0), ref.text)
    prefix = f"out.G.{section}."
    assert [image.shape[-1] for image in fake.images] == [64, 128, 256]
    for stage, image in enumerate(fake.images):
        row, column = image.shape[2] // 3, image.shape[3] // 4
        agree(image[:, :, 3::8, 5::8], ref.stored[f"{prefix}img{stage}.sub8"], FORWARD)
        agree(image[:, :, row : row + 16, column : column + 16], ref.stored[f"{prefix}img{stage}.crop"], FORWARD)
        pixels = image.flatten(2)
        statistics = torch.stack([pixels.mean(2), pixels.std(2), pixels.abs().mean(2)], dim=-1)
        agree(statistics, ref.stored[f"{prefix}img{stage}.stat"], FORWARD)
    for name, some, maps in zip(("att0_sub4", "att1_sub8"), (4, 8), fake.maps, strict=True):
        agree(maps[:, :6, ::some, ::some], ref.stored[prefix + name], FORWARD)
        assert not maps[:, 6:].any()  # the reference run has no seventh word: it is padding in all captions


def test_running_statistics(ref: Reference) -> None:
    gan = ref.gan()
    with torch.no_grad():
        gan.generate(ref.noise(0), ref.text)
    prefix = "out.G.train_bn_after."
    buffers = dict(gan.generator.named_buffers())
    keys = [key for key in ref.stored if key.startswith(prefix)]
    assert keys
    for key in keys:
        agree(buffers[key.removeprefix(prefix)], ref.stored[key], FORWARD)


def test_conditioning(ref: Reference) -> None:
    mean, log_variance = ref.gan().generator.get_submodule("ca_net")(ref.text.sentence)
    agree(mean, ref.stored["out.G.mu"], FORWARD)
    agree(log_variance, ref.stored["out.G.logvar"], FORWARD)


@pytest.mark.parametrize("section", ["eval_real", "eval_fake", "train_real", "train_fake"])
def test_discriminators(ref: Reference, section: str) -> None:
    """Features and both heads of every stage."""
    gan = ref.gan()
    # DM-GAN's code iterates its spectral norms in evaluation too; it has nothing else that the mode changes.
    gan.discriminator.train(section.startswith("train") or ref.name == "dmgan")
    images = ref.reals if section.endswith("real") else ref.fake.images
    for stage, (D, image) in enumerate(zip(gan.discriminator, images, strict=True)):
        assert isinstance(D, Discriminator)
        prefix = f"out.netD{stage}.{section}."
        with torch.no_grad():
            features = D.features(image)
            agree(D.pair_logits(features, ref.text.sentence).sigmoid(), ref.stored[f"{prefix}cond"], FORWARD)
            agree(D.image_logits(features).sigmoid(), ref.stored[f"{prefix}uncond"], FORWARD)
        if f"{prefix}feat" in ref.stored:
            agree(features, ref.stored[f"{prefix}feat"], FORWARD)


def test_discriminator_terms(ref: Reference) -> None:
    for stage, D in enumerate(ref.gan().discriminator):
        fake = Fake(ref.fake.images[stage : stage + 1])
        terms = discriminator_terms(nn.ModuleList([D]), ref.reals[stage], fake, ref.text.sentence, only=D_WEIGHTS)
        loss = total(terms, D_WEIGHTS)
        agree(loss, ref.stored[f"out.loss.errD{stage}"], FORWARD)
        loss.backward()
        agree_norms(ref.stored, f"netD{stage}", D)


def test_generator_terms(ref: Reference) -> None:
    gan = ref.gan()
    fake = gan.generate(ref.noise(1), ref.text)
    for image in fake.images:
        image.retain_grad()
    terms = gan.generator_terms(fake, gan.embed(fake), ref.text, ref.stored["in.class_ids"])
    prefix = "out.loss.errG."
    damsm = {name: ref.stored[f"{prefix}damsm.{name}"] for name in ("w0", "w1", "s0", "s1")}
    agree(terms["adv"], ref.sum_over_stages(f"{prefix}adv"), FORWARD)
    agree(terms["kl"], ref.stored[f"{prefix}kl"], FORWARD)
    agree(terms["kl"], ref.stored["out.loss.KL"], FORWARD)
    agree(terms["words"], damsm["w0"] + damsm["w1"], FORWARD)
    agree(terms["sentence"], damsm["s0"] + damsm["s1"], FORWARD)
    loss = total(terms, G_WEIGHTS)
    agree(loss, ref.stored[f"{prefix}total_with_kl"], FORWARD)
    loss.backward()
    for stage, image in enumerate(fake.images):
        assert image.grad is not None
        agree(image.grad.norm(), ref.stored[f"{prefix}fake_grad_norm{stage}"], GRADIENT)
    agree_norms(ref.stored, "netG", gan.generator)


def test_three_steps(ref: Reference) -> None:
    """A step of all D, a step of G; G runs once and its images serve both."""
    gan = ref.gan()
    before = {key: value.detach().clone() for key, value in gan.generator.named_parameters()}
    d_optimizer = torch.optim.Adam(gan.discriminator.parameters(), lr=RATE, betas=(0.5, 0.999))
    g_optimizer = torch.optim.Adam(gan.generator.parameters(), lr=RATE, betas=(0.5, 0.999))
    for step in range(3):
        fake = gan.generate(ref.noise(step + 1), ref.text)
        d_optimizer.zero_grad()
        loss = total(gan.discriminator_terms(ref.reals[-1], fake, ref.text, only=D_WEIGHTS), D_WEIGHTS)
        agree(loss, ref.sum_over_stages(f"out.step{step}.errD"), STEP)
        loss.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        terms = gan.generator_terms(fake, gan.embed(fake), ref.text, ref.stored["in.class_ids"])
        agree(terms["kl"], ref.stored[f"out.step{step}.kl"], STEP)
        loss = total(terms, G_WEIGHTS)
        agree(loss, ref.stored[f"out.step{step}.errG_total"], STEP)
        loss.backward()
        g_optimizer.step()

    parameters = dict(gan.generator.named_parameters())
    prefix = "out.after3.netG."
    keys = [key.removeprefix(prefix) for key in ref.stored if key.startswith(prefix)]
    assert keys
    for key in keys:
        difference = (parameters[key].detach() - ref.stored[prefix + key]).abs()
        # Adam moves an entry by its gradient's sign; where the gradient is nearly 0, rounding decides the sign.
        assert difference.max() <= 6 * RATE, key
        assert difference.mean() <= STEP * ref.stored[prefix + key].abs().max(), key
        assert difference.mean() <= 0.2 * (before[key] - ref.stored[prefix + key]).abs().mean(), key
