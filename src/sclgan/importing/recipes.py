"""The recipes of published networks: those of their data, with the sizes that the tensors have and the codes' quirks.

Each quirk is an argument that the recipe of the run states: the order of masks (`stacked.attend`), the resize before
the image encoder, SSA-GAN's gamma1, GALIP's preparation of CLIP's input.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sclgan.data.captions import Vocabulary
from sclgan.encoders.clip import CLIP
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.inception import InceptionTrunk
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.importing import sizes
from sclgan.importing.networks import Kind, Network, Networks
from sclgan.importing.vocabulary import vocabulary_words
from sclgan.recipe import Recipe, class_of
from sclgan.recipes import RECIPES
from sclgan.recipes import recipe as named

GANS: Mapping[Kind, Any] = {"attngan": AttnGAN, "dmgan": DMGAN, "ssagan": SSAGAN, "galip": GALIP}
DATA = {5450: "cub", 27297: "coco"}
"""The data set by the number of rows of the published text encoder's embedding: the size of its vocabulary."""
CLIP_IN_GENERATOR = "mapping.CLIP_ViT."
"""Prefix of the copy of CLIP's vision transformer in GALIP's generator."""


def with_words(kind: Kind, networks: Networks, captions: Path | None, recipe: str | None) -> tuple[Recipe, Vocabulary]:
    """The recipe and the vocabulary of networks that read the words of DAMSM.

    Raises:
        ValueError: `captions` is missing, or not the vocabulary of the text encoder; the recipe is not of the kind.
    """
    if captions is None:
        raise ValueError(f"{kind} reads words by their numbers: give --captions, the captions.pickle of its authors")
    words = vocabulary_words(captions)
    num_words = len(words) + 1
    (text_encoder,) = networks["text_encoder"]
    rows = sizes.size(text_encoder.state, "encoder.weight", 0)
    if rows is not None and rows != num_words:
        raise ValueError(
            f"{captions} has {num_words} words with the end sign, the text encoder {text_encoder.path} {rows}: give "
            "the captions.pickle that is published with it. One that is rebuilt from the texts numbers the words "
            "differently (5,598 instead of CUB's 5,450)"
        )
    base = _named(kind, recipe or _recipe_of(kind, num_words))
    made = replace(base, row=base.row.with_variant("official"), encoders=_damsm(base, text_encoder))
    if kind == "damsm":
        made = replace(made, about=f"{base.about}: encoders with the weights of their authors")
    else:
        made = _with_gan(kind, made, networks)
    return made, Vocabulary(words, max_words=made.max_words, letters="ascii")


def with_clip(networks: Networks, captions: Path | None, recipe: str | None) -> tuple[Recipe, CLIPTokenizer]:
    """The recipe and the tokens of GALIP; without `recipe` the data are COCO, as those of the published weights.

    Raises:
        ValueError: `captions` is given, the generator holds another CLIP, or the recipe is not of GALIP.
    """
    if captions is not None:
        raise ValueError("galip reads CLIP's own tokens: leave --captions out")
    (clip,), (generator,) = networks["clip"], networks["generator"]
    _check_clip(clip, generator)
    base = _named("galip", recipe or "galip_coco")
    of_clip = sizes.clip(clip.state)
    judges = [network.state for role in ("discriminator", "head") for network in networks.get(role, [])]
    of_gan = sizes.galip(generator.state, judges)
    made = replace(
        base,
        row=base.row.with_variant("official"),
        about=f"{base.about}: the weights of its authors",
        image_size=of_clip.get("image_size", base.image_size),  # GALIP draws at CLIP's own size
        max_words=of_clip.get("context_length", base.max_words),
        # Reference quirk: the double rescale of CLIP's input. Kept for released weights.
        encoders=partial(CLIP, weights=None, reference_input=True, **of_clip),
        gan=partial(GALIP, **{**getattr(base.gan, "keywords", {}), **of_gan}),
    )
    return made, CLIPTokenizer(context_length=made.max_words)


def _recipe_of(kind: Kind, num_words: int) -> str:
    """The name of the recipe of the data, which the size of the vocabulary tells for CUB and COCO."""
    if num_words not in DATA:
        of_kind = [name for name, make in RECIPES.items() if _fits(make(), kind)]
        raise ValueError(
            f"the vocabulary has {num_words} words with the end sign, neither the 5450 of CUB nor the 27297 of COCO, "
            f"so the data are not known: give --recipe, one of {', '.join(of_kind)}"
        )
    return f"{'attngan' if kind == 'damsm' else kind}_{DATA[num_words]}"


def _named(kind: Kind, name: str) -> Recipe:
    """The recipe of that name, whose GAN, or for "damsm" whose encoders, must be of the kind."""
    found = named(name)
    if not _fits(found, kind):
        raise ValueError(f"--recipe {name} is of {found.row.gan}, --kind is {kind}: give a recipe of {kind}")
    return found


def _fits(recipe: Recipe, kind: Kind) -> bool:
    return class_of(recipe.encoders) is DAMSM if kind == "damsm" else class_of(recipe.gan) is GANS[kind]


def _damsm(base: Recipe, text_encoder: Network) -> partial[DAMSM]:
    """The encoders with the sizes of the text encoder."""
    half = sizes.size(text_encoder.state, "rnn.weight_hh_l0", 1)
    embedding_size = sizes.size(text_encoder.state, "encoder.weight", 1)
    # Reference quirk: AttnGAN and DM-GAN resize with align_corners, SSA-GAN without. Kept for released weights.
    backbone = partial(InceptionTrunk, weights=None, align_corners=class_of(base.gan) is not SSAGAN)
    return partial(
        DAMSM,
        backbone=backbone,
        **sizes.known(code_size=half and 2 * half, embedding_size=embedding_size),
        gammas=(4.0, 5.0, 10.0),
        save_backbone=True,
        mask_same_label=getattr(base.encoders, "keywords", {}).get("mask_same_label", True),
    )


def _with_gan(kind: Kind, base: Recipe, networks: Networks) -> Recipe:
    """The recipe with a GAN of the sizes of the generator and, where they are given, of the discriminators."""
    infer = sizes.ssagan if kind == "ssagan" else sizes.stacked
    discriminators = [network.state for network in networks.get("discriminator", [])]
    image_size, of_gan = infer(networks["generator"][0].state, discriminators)
    quirks: dict[str, Any] = (
        {"damsm_gammas": (5.0, 5.0, 10.0)}
        if kind == "ssagan"
        else {"damsm_gammas": (4.0, 5.0, 10.0), "mask_order": "reference"}
    )
    return replace(
        base,
        about=f"{base.about}: the weights of its authors",
        image_size=image_size or base.image_size,
        gan=partial(GANS[kind], **{**getattr(base.gan, "keywords", {}), **of_gan, **quirks}),
    )


def _check_clip(clip: Network, generator: Network) -> None:
    """Refuses a CLIP other than the one whose blocks are in the generator."""
    inside = {
        name.removeprefix(CLIP_IN_GENERATOR): x
        for name, x in generator.state.items()
        if name.startswith(CLIP_IN_GENERATOR)
    }
    if others := [name for name, x in inside.items() if not _same(x, clip.state.get(f"visual.{name}"))]:
        raise ValueError(
            f"{clip.path} is not the CLIP that {generator.path} was trained with: {len(others)} of its "
            f"{len(inside)} tensors differ from those in there, such as {', '.join(others[:3])}"
        )


def _same(one: Tensor, other: Tensor | None) -> bool:
    """Whether two tensors are equal to half precision, in which GALIP keeps CLIP on GPUs."""
    return other is not None and one.shape == other.shape and torch.allclose(one.float(), other.float(), 1e-3, 1e-6)
