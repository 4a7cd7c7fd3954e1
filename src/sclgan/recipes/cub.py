"""The GANs on the birds of CUB-200-2011 at 256 pixels, one label per image, with the settings of the authors' codes.

Epochs are converted to steps: an epoch has 8,855 / batch steps, rounded once for all epochs together; the codes drop
the last batch of an epoch, which makes 0.2 % fewer steps at most. The `_2x` rows keep the number of steps.

As in the codes, longer training captions are a random subset of `max_words` words. Attention masks its own padding
(`mask_order="own"`), which differs from the codes.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.sets.cub import NUM_IMAGES, ROOT, Cub
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.recipe import Recipe, Row
from sclgan.recipes import published

TRAINING_IMAGES = NUM_IMAGES["train"]


def attngan_cub() -> Recipe:
    """AttnGAN (Xu et al. 2018): three stages of 64, 128 and 256 pixels, 600 epochs.

    Its encoders are pre-trained for 200 epochs, as the name of the released ones says; the code's limit is 600.
    """
    return Recipe(
        row=Row("attngan", "cub"),
        about="AttnGAN on CUB",
        source=partial(Cub, root=ROOT),
        image_size=256,
        max_words=18,
        encoders=published.damsm(align_corners=True),
        pretraining=published.damsm_pretraining(epochs=200, num_images=TRAINING_IMAGES),
        gan=partial(AttnGAN, num_stages=3, ngf=32, ndf=64, num_residual_blocks=2),
        # 600 epochs of batches of 20: 265,650 steps
        training=published.stacked_training(steps=600 * TRAINING_IMAGES // 20, batch_size=20, matching=5.0),
        long_captions="thin",
    )


def dmgan_cub() -> Recipe:
    """DM-GAN (Zhu et al. 2019): three stages, 800 epochs as in its code; the paper says 600.

    Data, encoders and their pre-training are those of attngan_cub.
    """
    return replace(
        attngan_cub(),
        row=Row("dmgan", "cub"),
        about="DM-GAN on CUB",
        gan=partial(DMGAN, num_stages=3, ngf=64, ndf=32, num_residual_blocks=2),
        # 800 epochs of batches of 10: 708,400 steps
        training=published.stacked_training(steps=800 * TRAINING_IMAGES // 10, batch_size=10, matching=5.0),
    )


def ssagan_cub() -> Recipe:
    """SSA-GAN (Liao et al. 2022): one stage, 600 epochs; its encoders are pre-trained as in AttnGAN."""
    return replace(
        attngan_cub(),
        row=Row("ssagan", "cub"),
        about="SSA-GAN on CUB",
        encoders=published.damsm(align_corners=False),
        gan=partial(SSAGAN, nf=64, z_dim=100),
        # 600 epochs of batches of 24: 221,375 steps
        training=published.ssagan_training(steps=600 * TRAINING_IMAGES // 24, batch_size=24),
    )


def galip_cub() -> Recipe:
    """GALIP (Tao et al. 2023) at 224 pixels, 1,502 epochs of batches of 512, the code's limit.

    It reads, draws and judges through CLIP as published: pre-training takes no step. Pictures come at 224 pixels and
    are normalised once; the code takes the nearest pixels of 256 and normalises twice.
    """
    return Recipe(
        row=Row("galip", "cub"),
        about="GALIP on CUB",
        source=partial(Cub, root=ROOT),
        image_size=224,
        max_words=77,
        encoders=published.clip(),
        pretraining=published.clip_fine_tuning(epochs=0, num_images=TRAINING_IMAGES),
        gan=partial(GALIP, nf=64, z_dim=100),
        # 25,976 steps
        training=published.galip_training(steps=1_502 * TRAINING_IMAGES // 512, batch_size=512),
    )
