"""The GANs on the embedded scenes: 64 pixels, several labels per image, as on COCO.

As on COCO every other pair is a rival in DAMSM's losses. Networks, optimizers and steps are those of the emoji rows.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.sets.scenes import Scenes
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.recipe import Recipe
from sclgan.recipes import emoji
from sclgan.recipes.small_data import with_matching


def attngan_scenes() -> Recipe:
    """AttnGAN (Xu et al. 2018) in two stages, 32 and 64, with the lambda of COCO."""
    return with_lambda_of_coco(on_scenes(emoji.attngan_emoji()))


def dmgan_scenes() -> Recipe:
    """DM-GAN (Zhu et al. 2019) in two stages, 32 and 64, with the lambda of COCO."""
    return with_lambda_of_coco(on_scenes(emoji.dmgan_emoji()))


def ssagan_scenes() -> Recipe:
    """SSA-GAN (Liao et al. 2022) at 64 pixels."""
    return on_scenes(emoji.ssagan_emoji())


def on_scenes(base: Recipe) -> Recipe:
    """A row on emoji moved to scenes; one pre-training serves all GANs."""
    return replace(
        base,
        row=replace(base.row, data="scenes"),
        about=base.about.replace("emoji", "scenes"),
        source=partial(Scenes),
        encoders=partial(DAMSM, backbone=partial(Lite0, image_size=128), code_size=256, mask_same_label=False),
    )


def with_lambda_of_coco(base: Recipe) -> Recipe:
    """AttnGAN or DM-GAN with the matching terms weighted 50, as published on COCO, where it is 5 on CUB."""
    return replace(base, training=with_matching(base.training, 50.0))


def galip_scenes() -> Recipe:
    """GALIP (Tao et al. 2023) at 64 pixels, on a small CLIP of its own as on emoji, that reads longer captions."""
    base = emoji.galip_emoji()
    return replace(
        base,
        row=replace(base.row, data="scenes"),
        about="GALIP on scenes",
        source=partial(Scenes),
        max_words=48,
        encoders=emoji.small_clip(context_length=48),
    )
