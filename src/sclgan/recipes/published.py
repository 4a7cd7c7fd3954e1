"""Encoders, objectives and optimizers that the published rows share on every data set.

The values are those of the authors' codes; recipes name those that differ from the paper.
"""

from functools import partial

from sclgan.encoders.clip import CLIP
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.inception import SIZE, InceptionTrunk
from sclgan.recipe import Pretraining, Training


def damsm(*, align_corners: bool, mask_same_label: bool = True) -> partial[DAMSM]:
    """DAMSM (Xu et al. 2018) on Inception-v3 with ImageNet weights, from torchvision's cache.

    `align_corners` is that of the resize to 299 pixels in the GAN phase: True in AttnGAN's and DM-GAN's codes, False in
    SSA-GAN's. Pre-training is at 299 pixels, so that one folder of pre-trained encoders serves all three.
    `mask_same_label` is True on CUB and False on COCO, see `DAMSM`.
    """
    backbone = partial(InceptionTrunk, weights="imagenet", align_corners=align_corners)
    return partial(DAMSM, backbone=backbone, code_size=256, mask_same_label=mask_same_label)


def damsm_pretraining(*, epochs: int, num_images: int) -> Pretraining:
    """DAMSM's pre-training; the other values are `Pretraining`'s own.

    Differs from the reference code, which begins a new Adam every epoch and lets the trunk's batch statistics drift.
    """
    return Pretraining(steps=epochs * num_images // 48, batch_size=48, image_size=SIZE)


def stacked_training(*, steps: int, batch_size: int, matching: float) -> Training:
    """AttnGAN's and DM-GAN's objectives and optimizer, which are the same; `matching` is the papers' lambda."""
    return Training(
        steps=steps,
        batch_size=batch_size,
        # L_D = (real_uncond + real_cond) / 2 + (fake_uncond + fake_cond + mismatched) / 3
        discriminator_objectives=(
            {"real_uncond": 1 / 2, "real_cond": 1 / 2, "fake_uncond": 1 / 3, "fake_cond": 1 / 3, "mismatched": 1 / 3},
        ),
        # L_G = adv + kl + lambda (words + sentence)
        generator_objective={"adv": 1.0, "kl": 1.0, "words": matching, "sentence": matching},
        generator_learning_rate=2e-4,
        discriminator_learning_rate=2e-4,
        betas=(0.5, 0.999),
        ema_decay=0.999,
    )


def ssagan_training(*, steps: int, batch_size: int, ema_decay: float = 0.0) -> Training:
    """SSA-GAN's objectives and optimizer; as published it averages no weights."""
    return Training(
        steps=steps,
        batch_size=batch_size,
        # L_D: a hinge step, then the matching-aware gradient penalty as an optimizer step of its own.
        discriminator_objectives=({"real": 1.0, "mismatched": 0.5, "fake": 0.5}, {"magp": 2.0}),
        generator_objective={"adv": 1.0, "words": 0.05, "sentence": 0.05},
        generator_learning_rate=1e-4,
        discriminator_learning_rate=4e-4,
        betas=(0.0, 0.9),
        ema_decay=ema_decay,
    )


def clip() -> partial[CLIP]:
    """OpenAI's ViT-B/32 from a library's cache; encoders.weights=FILE takes a file. Its other arguments are CLIP's own.

    Fine-tuning trains gains and biases alone, 0.2 of 151 million numbers, since there are few birds.
    """
    return partial(CLIP, weights="openai", trained="norms_and_biases")


def clip_fine_tuning(*, epochs: int, num_images: int) -> Pretraining:
    """Fine-tuning of a published CLIP. GALIP has none, so all values are ours, and none was tuned."""
    return Pretraining(
        steps=epochs * num_images // 64,
        objective={"infonce": 1.0},
        batch_size=64,
        learning_rate=1e-5,
        learning_rate_decay=0.9,
        minimal_learning_rate=1e-6,
        betas=(0.9, 0.98),
        clip_text_gradient=None,
    )


def galip_training(*, steps: int, batch_size: int, ema_decay: float = 0.0) -> Training:
    """GALIP's objectives and optimizer; as published it averages no weights."""
    return Training(
        steps=steps,
        batch_size=batch_size,
        # L_D = real + (mismatched + fake) / 2 + 2 magp, in one step
        discriminator_objectives=({"real": 1.0, "mismatched": 0.5, "fake": 0.5, "magp": 2.0},),
        # L_G = adv + 4 similarity
        generator_objective={"adv": 1.0, "similarity": 4.0},
        generator_learning_rate=1e-4,
        discriminator_learning_rate=4e-4,
        betas=(0.0, 0.9),
        ema_decay=ema_decay,
    )
