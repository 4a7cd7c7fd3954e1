"""The GANs on the embedded emoji: 64 pixels, one label an image. The rows plain, twice the batch, and the method."""

from dataclasses import replace
from functools import partial
from typing import Any

from sclgan.data.emoji import Emoji
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.ssagan import SSAGAN
from sclgan.recipe import Pretraining, Recipe, Training


def ssagan_emoji() -> Recipe:
    """SSA-GAN (Liao et al. 2022) as published, at 64 pixels; its encoders are pre-trained as in AttnGAN."""
    backbone: Any = partial(Lite0, image_size=128)  # its constructor here, the network in a run
    return Recipe(
        name="ssagan_emoji",
        about="SSA-GAN on emoji",
        source=partial(Emoji),
        image_size=64,
        max_words=20,
        encoders=partial(DAMSM, backbone=backbone, code_size=256),
        pretraining=Pretraining(steps=4000),
        gan=partial(SSAGAN, nf=64, z_dim=100),
        training=Training(
            steps=40_000,
            batch_size=32,
            # L_D: a hinge step, then the matching-aware gradient penalty as an optimizer step of its own.
            discriminator_weights=({"real": 1.0, "mismatched": 0.5, "fake": 0.5}, {"magp": 2.0}),
            generator_weights={"adv": 1.0, "words": 0.05, "sentence": 0.05},
            ema_decay=0.999,
        ),
    )


def ssagan_emoji_scl() -> Recipe:
    """ssagan_emoji with the method: in both phases a second view of the same label, and one more term."""
    return with_contrast(ssagan_emoji(), "SSA-GAN on emoji, with label-guided contrast in both phases")


def ssagan_emoji_2x() -> Recipe:
    """The control: ssagan_emoji with twice the batch, so that it sees as many images a step as the method."""
    return with_twice_the_batch(ssagan_emoji(), "SSA-GAN on emoji, twice the batch: the control of the method's cost")


def attngan_emoji() -> Recipe:
    """AttnGAN (Xu et al. 2018) with the published widths and optimizer, in two stages: 32 and 64 pixels.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return replace(
        ssagan_emoji(),
        name="attngan_emoji",
        about="AttnGAN on emoji",
        gan=partial(AttnGAN, num_stages=2, ngf=32, ndf=64),
        training=_stacked_training(),
    )


def attngan_emoji_scl() -> Recipe:
    """attngan_emoji with the method: in both phases a second view of the same label, and one more term."""
    return with_contrast(attngan_emoji(), "AttnGAN on emoji, with label-guided contrast in both phases")


def attngan_emoji_2x() -> Recipe:
    """The control: attngan_emoji with twice the batch, so that it sees as many images a step as the method."""
    return with_twice_the_batch(attngan_emoji(), "AttnGAN on emoji, twice the batch: the control of the method's cost")


def dmgan_emoji() -> Recipe:
    """DM-GAN (Zhu et al. 2019) with the published widths and optimizer, in two stages: 32 and 64 pixels.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return replace(
        ssagan_emoji(),
        name="dmgan_emoji",
        about="DM-GAN on emoji",
        gan=partial(DMGAN, num_stages=2, ngf=64, ndf=32),
        training=_stacked_training(),
    )


def dmgan_emoji_scl() -> Recipe:
    """dmgan_emoji with the method: in both phases a second view of the same label, and one more term."""
    return with_contrast(dmgan_emoji(), "DM-GAN on emoji, with label-guided contrast in both phases")


def dmgan_emoji_2x() -> Recipe:
    """The control: dmgan_emoji with twice the batch, so that it sees as many images a step as the method."""
    return with_twice_the_batch(dmgan_emoji(), "DM-GAN on emoji, twice the batch: the control of the method's cost")


def _stacked_training() -> Training:
    """AttnGAN's and DM-GAN's objectives and optimizer, which are the same, with the steps and batch of ssagan_emoji."""
    return Training(
        steps=40_000,
        batch_size=32,
        # L_D = (real_uncond + real_cond) / 2 + (fake_uncond + fake_cond + mismatched) / 3
        discriminator_weights=(
            {"real_uncond": 1 / 2, "real_cond": 1 / 2, "fake_uncond": 1 / 3, "fake_cond": 1 / 3, "mismatched": 1 / 3},
        ),
        # L_G = adv + kl + lambda (words + sentence), with the lambda of birds
        generator_weights={"adv": 1.0, "kl": 1.0, "words": 5.0, "sentence": 5.0},
        generator_learning_rate=2e-4,
        discriminator_learning_rate=2e-4,
        betas=(0.5, 0.999),
        ema_decay=0.999,
    )


def with_contrast(base: Recipe, about: str) -> Recipe:
    """The `_scl` row of a recipe: two views of a label and the contrast in both phases (Liu et al. 2024).

    The paper's weights are not published: 1.0 in pre-training and 0.2 in the GAN phase are ours.
    """
    return replace(
        base,
        name=f"{base.name}_scl",
        about=about,
        pretraining=replace(base.pretraining, num_views=2, weights={**base.pretraining.weights, "contrast": 1.0}),
        training=replace(
            base.training, num_views=2, generator_weights={**base.training.generator_weights, "contrast": 0.2}
        ),
    )


def with_twice_the_batch(base: Recipe, about: str) -> Recipe:
    """The `_2x` row of a recipe: one view, twice the batch in both phases, no contrast."""
    return replace(
        base,
        name=f"{base.name}_2x",
        about=about,
        pretraining=replace(base.pretraining, batch_size=2 * base.pretraining.batch_size),
        training=replace(base.training, batch_size=2 * base.training.batch_size),
    )
