"""The GANs on the embedded emoji: 64 pixels, one label per image, with the settings for small data.

Networks, objectives and optimizers are the published ones; `recipes.small_data` describes the additions, which are the
same in every row.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.sets.emoji import Emoji
from sclgan.encoders.clip import CLIP
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.recipe import GANConstructor, Pretraining, Recipe, Row, Training
from sclgan.recipes import published
from sclgan.recipes.small_data import for_small_data, with_matching


def attngan_emoji() -> Recipe:
    """AttnGAN (Xu et al. 2018) with the published widths, and optimizer and lambda of birds, in two stages: 32 and 64.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return for_small_data(
        _damsm_row(
            gan_name="attngan",
            about="AttnGAN on emoji",
            gan=partial(AttnGAN, num_stages=2, ngf=32, ndf=64),
            training=published.stacked_training(steps=40_000, batch_size=32, matching=5.0),
        )
    )


def dmgan_emoji() -> Recipe:
    """DM-GAN (Zhu et al. 2019) with the published widths, and optimizer and lambda of birds, in two stages: 32 and 64.

    Data, encoders and their pre-training are those of ssagan_emoji, so one pre-training serves all three GANs.
    """
    return for_small_data(
        _damsm_row(
            gan_name="dmgan",
            about="DM-GAN on emoji",
            gan=partial(DMGAN, num_stages=2, ngf=64, ndf=32),
            training=published.stacked_training(steps=40_000, batch_size=32, matching=5.0),
        )
    )


def ssagan_emoji() -> Recipe:
    """SSA-GAN (Liao et al. 2022) at 64 pixels; its encoders are pre-trained as in AttnGAN.

    Batch, optimizer and the weight of the matching terms (published: 0.05) are those of the model that comes with the
    package. Within minutes of training the published weight draws better: `docs/small-data.md`.
    """
    training = published.ssagan_training(steps=40_000, batch_size=64)
    training = replace(
        with_matching(training, 0.5),
        generator_learning_rate=5e-4,
        discriminator_learning_rate=5e-4,
        betas=(0.0, 0.99),
    )
    return for_small_data(
        _damsm_row(
            gan_name="ssagan",
            about="SSA-GAN on emoji",
            gan=partial(SSAGAN, nf=64, z_dim=100),
            training=training,
        )
    )


def galip_emoji() -> Recipe:
    """GALIP (Tao et al. 2023) at 64 pixels, on a small CLIP that every row trains from random weights.

    That CLIP has half as many blocks as ViT-B/32, a sixth of its width, and 8 x 8 patches where that has 7 x 7. Prompts
    and D's features are at about the same parts of its depth as in GALIP.
    """
    recipe = Recipe(
        row=Row("galip", "emoji"),
        about="GALIP on emoji",
        source=partial(Emoji),
        image_size=64,
        max_words=24,  # tokens; the longest caption has 23
        encoders=small_clip(context_length=24),
        pretraining=Pretraining(
            steps=4000,
            objective={"infonce": 1.0},
            batch_size=96,
            learning_rate=1e-3,
            minimal_learning_rate=1e-4,
            warmup_steps=50,
            betas=(0.9, 0.98),
            weight_decay=0.1,
            clip_text_gradient=None,
        ),
        gan=partial(GALIP, nf=64, z_dim=100, feature_blocks=(1, 2, 4), first_prompt_block=1, num_prompts=4),
        training=published.galip_training(steps=40_000, batch_size=32, ema_decay=0.999),
    )
    return for_small_data(recipe, feature_discriminator=False)


def small_clip(*, context_length: int) -> partial[CLIP]:
    """A CLIP for 64 pixels, from random weights."""
    return partial(
        CLIP,
        weights=None,
        code_size=128,
        context_length=context_length,
        num_text_blocks=4,
        num_text_heads=4,
        image_size=64,
        patch_size=8,
        image_width=128,
        num_image_blocks=6,
        num_image_heads=4,
    )


def _damsm_row(*, gan_name: str, about: str, gan: GANConstructor, training: Training) -> Recipe:
    """The parts that the rows on DAMSM share."""
    return Recipe(
        row=Row(gan_name, "emoji"),
        about=about,
        source=partial(Emoji),
        image_size=64,
        max_words=20,
        encoders=partial(DAMSM, backbone=partial(Lite0, image_size=128), code_size=256),
        pretraining=Pretraining(steps=4000),
        gan=gan,
        training=training,
    )
