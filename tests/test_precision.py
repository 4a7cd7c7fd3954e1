"""Training with bfloat16 networks: the losses of float32, in every GAN."""

import pytest
import torch

from sclgan.data.types import Batch, Captions, View
from sclgan.losses.adversarial import bce_real
from sclgan.losses.precision import full_precision
from sclgan.recipe_fields import override
from sclgan.recipes import recipe
from sclgan.train.gan_phase import GANPhase
from sclgan.train.training import with_feature_discriminator
from tiny import tiny

NUM_TOKENS, NUM_WORDS, ROWS = 20, 6, 16
SLOWLY = ("training.generator_learning_rate=1e-5", "training.discriminator_learning_rate=4e-5")


def objectives(name: str, precision: str, num_steps: int) -> torch.Tensor:
    """What G and D minimise at each step, [step, network], from the same weights, data and noise."""
    made = override(tiny(recipe(name)), [f"training.precision={precision}", *SLOWLY])
    torch.manual_seed(0)
    encoders = made.encoders(NUM_TOKENS).requires_grad_(False).eval()
    gan = made.gan(encoders, image_size=made.image_size)
    phase = GANPhase(with_feature_discriminator(gan, made, encoders), encoders, made.training, seed=0)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, NUM_TOKENS, (2, ROWS, NUM_WORDS), generator=generator)
    images = torch.rand(2, ROWS, 3, made.image_size, made.image_size, generator=generator) * 2 - 1
    lengths = torch.full((ROWS,), NUM_WORDS)
    views = tuple(View(one, Captions(words, lengths)) for one, words in zip(images, tokens, strict=True))
    batch = Batch(views[: made.training.num_views], torch.arange(ROWS) // 2, torch.ones(ROWS, dtype=torch.bool))
    weights = {f"g/{name}": weight for name, weight in made.training.generator_objective.items()}
    for table in made.training.discriminator_objectives:
        weights |= {f"d/{name}": weight for name, weight in table.items()}
    steps = []
    for step in range(1, num_steps + 1):
        terms = {name: weights[name] * float(value) for name, value in phase.step(batch, step).items()}
        steps.append([sum(value for name, value in terms.items() if name.startswith(who)) for who in ("g/", "d/")])
    return torch.tensor(steps)


@pytest.mark.parametrize("name", ["attngan_emoji_scl", "dmgan_emoji_scl", "galip_emoji_scl", "ssagan_emoji_scl"])
def test_objectives_are_those_of_float32(name: str) -> None:
    exact, half = objectives(name, "float32", 30), objectives(name, "bfloat16", 30)
    assert not torch.equal(exact, half)
    difference = (half - exact).abs() / exact.abs()
    assert difference.max() < 0.05
    # Rounding moves a random encoder's word loss up and down: within 1 % over the 30 steps.
    torch.testing.assert_close(half.mean(0), exact.mean(0), rtol=0.01, atol=0)


def test_losses_under_autocast_are_float32() -> None:
    logits = torch.tensor([2.0, -14.0, 0.01])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bce_real(logits.bfloat16()), bce_real(logits.bfloat16().float()))
        with full_precision():
            assert (logits[None] @ logits[:, None]).dtype == torch.float32
        assert (logits[None] @ logits[:, None]).dtype == torch.bfloat16
