"""The GANs on the embedded emoji: 64 pixels, one label an image."""

from dataclasses import replace
from functools import partial
from typing import Any

from sclgan.data.emoji import Emoji
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.ssagan import SSAGAN
from sclgan.recipe import Pretraining, Recipe
from sclgan.recipes import published


def attngan_emoji() -> Recipe:
    """AttnGAN (Xu et al. 2018) with the published widths, and optimizer and lambda of birds, in two stages: 32 and 64.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return replace(
        ssagan_emoji(),
        name="attngan_emoji",
        about="AttnGAN on emoji",
        gan=partial(AttnGAN, num_stages=2, ngf=32, ndf=64),
        training=published.stacked_training(steps=40_000, batch_size=32, matching=5.0),
    )


def dmgan_emoji() -> Recipe:
    """DM-GAN (Zhu et al. 2019) with the published widths, and optimizer and lambda of birds, in two stages: 32 and 64.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return replace(
        ssagan_emoji(),
        name="dmgan_emoji",
        about="DM-GAN on emoji",
        gan=partial(DMGAN, num_stages=2, ngf=64, ndf=32),
        training=published.stacked_training(steps=40_000, batch_size=32, matching=5.0),
    )


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
        training=published.ssagan_training(steps=40_000, batch_size=32, ema_decay=0.999),
    )
