"""The GANs on pictures of your own, at 256 pixels: `sclgan train ssagan_folder --out RUN source.root=DIR`.

Networks, objectives and optimizers are those of the published rows of CUB, with the settings for small data
(`recipes.small_data`). Two more things differ: the encoders stand on Lite0, which comes with the package, and the
number of steps is ours, since it must fit the data: set `pretraining.steps` and `training.steps`.
`docs/your-own-data.md` shows the way.
"""

from dataclasses import replace
from functools import partial

from sclgan.data.sets.own.source import ROOT, Folder
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.lite0 import Lite0
from sclgan.recipe import Pretraining, Recipe
from sclgan.recipes import cub, published
from sclgan.recipes.small_data import for_small_data

PRETRAINING_STEPS = 20_000
TRAINING_STEPS = 200_000


def attngan_folder() -> Recipe:
    """AttnGAN (Xu et al. 2018): three stages, the last of `image_size`."""
    return on_folder(cub.attngan_cub())


def dmgan_folder() -> Recipe:
    """DM-GAN (Zhu et al. 2019): three stages, the last of `image_size`."""
    return on_folder(cub.dmgan_cub())


def ssagan_folder() -> Recipe:
    """SSA-GAN (Liao et al. 2022): one stage."""
    return on_folder(cub.ssagan_cub())


def on_folder(base: Recipe) -> Recipe:
    """A row on CUB moved to the user's folder; one pre-training serves all GANs."""
    moved = replace(
        base,
        row=replace(base.row, data="folder"),
        about=base.about.replace("CUB", "your own folder"),
        source=partial(Folder, root=ROOT),
        encoders=partial(DAMSM, backbone=partial(Lite0, image_size=128), code_size=256),
        pretraining=Pretraining(steps=PRETRAINING_STEPS),
        training=replace(base.training, steps=TRAINING_STEPS),
        long_captions="truncate",
    )
    return for_small_data(moved)


def galip_folder() -> Recipe:
    """GALIP (Tao et al. 2023) at 224 pixels, on OpenAI's CLIP, which `sclgan describe` says where to get."""
    base = cub.galip_cub()
    moved = replace(
        base,
        row=replace(base.row, data="folder"),
        about="GALIP on your own folder",
        source=partial(Folder, root=ROOT),
        training=published.galip_training(steps=TRAINING_STEPS, batch_size=32),
    )
    return for_small_data(moved, feature_discriminator=False)
