"""The GANs on COCO 2014 at 256 pixels, with the settings of the authors' codes.

Epochs are converted to steps: an epoch has 82,783 / batch steps, rounded once for all epochs together. The `_2x` rows
keep the number of steps.

The labels of an image are the categories of its objects; `label_rule` decides which of them pair the views of the
method.
In DAMSM's losses every other pair is a rival, whatever its labels, as in the authors' codes, which have no labels on
COCO.

As in the codes, longer training captions are a random subset of `max_words` words. Attention masks its own padding,
which differs from the codes.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.sets.coco import NUM_IMAGES, ROOT, Coco
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.recipe import Recipe, Row
from sclgan.recipes import published

TRAINING_IMAGES = NUM_IMAGES[2014]["train"]


def attngan_coco() -> Recipe:
    """AttnGAN (Xu et al. 2018): three stages of 64, 128 and 256 pixels, 120 epochs.

    Its encoders are pre-trained for 100 epochs, as the name of the released ones says; the code's limit is 600. The
    code pre-trains them on 15 words and trains the GAN on 12; here both phases read 12.
    """
    return Recipe(
        row=Row("attngan", "coco"),
        about="AttnGAN on COCO",
        source=partial(Coco, root=ROOT),
        image_size=256,
        max_words=12,
        encoders=published.damsm(align_corners=True, mask_same_label=False),
        pretraining=published.damsm_pretraining(epochs=100, num_images=TRAINING_IMAGES),
        gan=partial(AttnGAN, num_stages=3, ngf=48, ndf=96, num_residual_blocks=3),
        # 120 epochs of batches of 14: 709,568 steps
        training=published.stacked_training(steps=120 * TRAINING_IMAGES // 14, batch_size=14, matching=50.0),
        long_captions="thin",
    )


def dmgan_coco() -> Recipe:
    """DM-GAN (Zhu et al. 2019): three stages, 200 epochs as in its code; the paper says 120.

    Data, encoders and their pre-training are those of attngan_coco.
    """
    return replace(
        attngan_coco(),
        row=Row("dmgan", "coco"),
        about="DM-GAN on COCO",
        gan=partial(DMGAN, num_stages=3, ngf=64, ndf=32, num_residual_blocks=3),
        # 200 epochs of batches of 16: 1,034,787 steps
        training=published.stacked_training(steps=200 * TRAINING_IMAGES // 16, batch_size=16, matching=50.0),
    )


def ssagan_coco() -> Recipe:
    """SSA-GAN (Liao et al. 2022): one stage, 120 epochs, captions of 18 words.

    Its encoders are pre-trained as in AttnGAN, but on 18 words: pre-train them with this recipe, since a vocabulary
    keeps the number of words it was made for.
    """
    return replace(
        attngan_coco(),
        row=Row("ssagan", "coco"),
        about="SSA-GAN on COCO",
        max_words=18,
        encoders=published.damsm(align_corners=False, mask_same_label=False),
        gan=partial(SSAGAN, nf=64, z_dim=100),
        # 120 epochs of batches of 24: 413,915 steps
        training=published.ssagan_training(steps=120 * TRAINING_IMAGES // 24, batch_size=24),
    )


def galip_coco() -> Recipe:
    """GALIP (Tao et al. 2023) at 224 pixels, 1,000 epochs of batches of 512, as its authors say; the limit is 3,005.

    They also say that training can break near epoch 450.

    It reads, draws and judges through CLIP as published: pre-training takes no step. Pictures come at 224 pixels and
    are normalised once; the code takes the nearest pixels of 256 and normalises twice.
    """
    return Recipe(
        row=Row("galip", "coco"),
        about="GALIP on COCO",
        source=attngan_coco().source,
        image_size=224,
        max_words=77,
        encoders=published.clip(),
        pretraining=published.clip_fine_tuning(epochs=0, num_images=TRAINING_IMAGES),
        gan=partial(GALIP, nf=64, z_dim=100),
        # 161,685 steps
        training=published.galip_training(steps=1_000 * TRAINING_IMAGES // 512, batch_size=512),
    )
