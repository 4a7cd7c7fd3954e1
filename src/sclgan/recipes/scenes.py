"""The GANs on the embedded scenes: 64 pixels, several labels an image, as on COCO.

As on COCO every other pair is a rival in DAMSM's losses. Networks, optimizers and steps are those of the emoji rows.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.scenes import Scenes
from sclgan.recipe import Recipe
from sclgan.recipes import emoji, published


def attngan_scenes() -> Recipe:
    """AttnGAN (Xu et al. 2018) in two stages, 32 and 64, with the lambda of COCO."""
    training = published.stacked_training(steps=40_000, batch_size=32, matching=50.0)
    return replace(on_scenes(emoji.attngan_emoji()), training=training)


def dmgan_scenes() -> Recipe:
    """DM-GAN (Zhu et al. 2019) in two stages, 32 and 64, with the lambda of COCO."""
    training = published.stacked_training(steps=40_000, batch_size=32, matching=50.0)
    return replace(on_scenes(emoji.dmgan_emoji()), training=training)


def ssagan_scenes() -> Recipe:
    """SSA-GAN (Liao et al. 2022) at 64 pixels."""
    return on_scenes(emoji.ssagan_emoji())


def on_scenes(base: Recipe) -> Recipe:
    """A row on emoji moved to scenes; one pre-training serves all GANs."""
    return replace(
        base,
        name=base.name.replace("emoji", "scenes"),
        about=base.about.replace("emoji", "scenes"),
        source=partial(Scenes),
        encoders=partial(base.encoders, mask_same_label=False),
    )


def galip_scenes() -> Recipe:
    """GALIP (Tao et al. 2023) at 64 pixels, on a small CLIP of its own as on emoji, that reads longer captions."""
    base = emoji.galip_emoji()
    return replace(
        base,
        name="galip_scenes",
        about="GALIP on scenes",
        source=partial(Scenes),
        max_words=48,
        encoders=partial(base.encoders, context_length=48),
    )
