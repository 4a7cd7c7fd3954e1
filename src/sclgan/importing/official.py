"""The files that the authors of AttnGAN, DM-GAN, SSA-GAN and GALIP publish, turned into run folders.

Xu et al. 2018 (AttnGAN and its encoders, DAMSM); Zhu et al. 2019 (DM-GAN); Liao et al. 2022 (SSA-GAN); Tao et al. 2023
(GALIP). Which file is which is told by the tensors in it, and sizes by their shapes. Files are read as plain tensors,
never unpickled freely.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sclgan.data.captions import Vocabulary
from sclgan.data.sets import legacy_pickle
from sclgan.encoders.base import Tokenizer
from sclgan.encoders.clip import CLIP, NO_WEIGHTS, openai_weights
from sclgan.encoders.clip_tokens import CLIPTokenizer
from sclgan.encoders.damsm import DAMSM
from sclgan.encoders.inception import InceptionTrunk
from sclgan.files import replaced
from sclgan.gans.attngan import AttnGAN
from sclgan.gans.base import TextToImageGAN
from sclgan.gans.dmgan import DMGAN
from sclgan.gans.galip import GALIP
from sclgan.gans.ssagan import SSAGAN
from sclgan.importing import sizes as official_sizes
from sclgan.recipe import Recipe, class_of
from sclgan.recipes import RECIPES
from sclgan.recipes import recipe as named
from sclgan.runs import checkpoint
from sclgan.runs.encoders import save_encoders
from sclgan.runs.folder import claim
from sclgan.weights.loading import load_strictly, mismatches
from sclgan.weights.readers import State, read_states

log = logging.getLogger(__name__)

Kind = Literal["attngan", "dmgan", "ssagan", "galip", "damsm"]

GANS: dict[str, Any] = {"attngan": AttnGAN, "dmgan": DMGAN, "ssagan": SSAGAN, "galip": GALIP}
DATA = {5450: "cub", 27297: "coco"}
"""The rows of the published text encoders' embeddings: the data set by the size of its vocabulary."""
NEEDED = {"damsm": ("text_encoder", "image_encoder"), "galip": ("generator", "clip")}
INSIDE = "mapping.CLIP_ViT."
"""Where GALIP's generator holds a copy of CLIP's vision transformer."""


def import_files(
    kind: Kind, files: Sequence[Path], *, captions: Path | None = None, out: Path, recipe: str | None = None
) -> Recipe:
    """Writes the run folder `out` of published weights, or for the kind "damsm" a folder of encoders; its recipe.

    `files` are the text and the image encoder and, but for "damsm", the generator and if wanted all discriminators, in
    any order. `captions` is the captions.pickle that they were trained with. `recipe` names the recipe of the data,
    which the size of the vocabulary tells for CUB and COCO; networks are built as the files say.

    For "galip" the files are a checkpoint and OpenAI's CLIP, without which the one in a library's cache is taken; it
    has a vocabulary of its own, and without `recipe` the data are COCO, as those of the published weights.

    Reference quirks that the recipe of the run states: the order of masks (`stacked.attend`), the resize before the
    image encoder, SSA-GAN's gamma1, GALIP's preparation of CLIP's input.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, wants more than plain tensors, or does not belong to the others; all tensors
            that are missing, unexpected or of another shape are named at once.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty, and nothing in it is overwritten: give another --out")
    parts = _parts(kind, files)
    made, tokenizer = (
        _with_clip(parts, captions, recipe) if kind == "galip" else _with_words(kind, parts, captions, recipe)
    )

    with torch.device("meta"):  # no memory and no time for initial weights: all come from the files
        encoders = made.encoders(tokenizer.num_tokens)
        gan: TextToImageGAN | None = None
        if kind != "damsm":
            gan = made.gan(encoders, image_size=made.image_size)
    filled: list[tuple[str, nn.Module, State]] = [("encoders", encoders, _encoder_state(parts))]
    if gan is not None:
        drawing = {name: x for name, x in parts["generator"][0].state.items() if not name.startswith(INSIDE)}
        filled.append(("generator", gan.generator, drawing))
        if judges := [*parts.get("discriminator", []), *parts.get("head", [])]:
            filled.append(("discriminator", gan.discriminator, _discriminator_state(gan, judges)))
    problems = [line for name, module, state in filled for line in _fill(name, module, state)]
    if problems:
        given = ", ".join(str(path) for path in files)
        raise ValueError(f"{given} do not make up {kind} as published: {'; '.join(problems)}")

    with replaced(out) as folder:
        claim(folder, made)
        save_encoders(folder, encoders, tokenizer)
        if gan is not None:
            weights = folder / "checkpoints" / "step_00000000"
            weights.mkdir(parents=True)
            checkpoint.save_weights(weights / "generator.safetensors", gan.generator)
            checkpoint.save_weights(weights / "averaged_generator.safetensors", gan.generator)
            if judges:
                checkpoint.save_weights(weights / "discriminator.safetensors", gan.discriminator)
    return made


def vocabulary_words(path: Path) -> list[str]:
    """The words of a captions.pickle, [train captions, test captions, ixtoword, wordtoix], in the order of their ids.

    Raises:
        ValueError: it is something else, or its ids are not 0 (the end sign) to n without a gap.
    """
    content = legacy_pickle.load(path)
    if not (isinstance(content, list | tuple) and len(content) == 4 and all(isinstance(x, dict) for x in content[2:])):
        raise ValueError(
            f"{path} is not a captions.pickle: it must hold [train captions, test captions, ixtoword, wordtoix]; "
            "get the one that the authors publish with their metadata"
        )
    by_number: dict[Any, Any] = content[2]
    by_word: dict[Any, Any] = content[3]
    numbers = {int(number): str(word) for number, word in by_number.items()}
    if sorted(numbers) != list(range(len(numbers))) or len(numbers) < 2 or numbers[0] != "<end>":
        raise ValueError(
            f"{path} has {len(numbers)} words whose numbers do not run from 0 (<end>) without a gap: it was written "
            "without the texts or is damaged; get the one that the authors publish with their metadata"
        )
    if {str(word): int(number) for word, number in by_word.items()} != {word: n for n, word in numbers.items()}:
        raise ValueError(f"{path} contradicts itself: ixtoword and wordtoix differ; get the published file again")
    return [numbers[number] for number in range(1, len(numbers))]


@dataclass(frozen=True)
class _Part:
    """One network's tensors, under our names, and where they are from. `kind` is "" where several GANs share it."""

    role: str
    kind: str
    path: Path
    state: State


def _recognised(path: Path, state: State) -> _Part | None:
    """The network that a state dict belongs to, told by tensors that it alone has."""
    starts = {name.partition(".")[0] for name in state}
    if "rnn" in starts:
        return _Part("text_encoder", "", path, state)
    if {"emb_features", "emb_cnn_code"} & starts:
        return _Part("image_encoder", "", path, state)
    if "h_net1" in starts:
        if "img_net" in starts:
            raise ValueError(f"{path} holds the one-image variant AttnDCGAN, which is not supported: give AttnGAN's")
        of_attngan = any(name.startswith("h_net2.att.") for name in state)
        return _Part("generator", "attngan" if of_attngan else "dmgan", path, state)
    if {"block0", "conv_mask"} <= starts:
        return _Part("generator", "ssagan", path, state)
    if "img_code_s16" in starts:
        if any("weight_bar" in name for name in state):
            renamed = {name.replace(".module.", ".").replace("weight_bar", "weight"): x for name, x in state.items()}
            return _Part("discriminator", "dmgan", path, renamed)
        return _Part("discriminator", "attngan", path, state)
    if {"block0", "COND_DNET"} <= starts:
        return _Part("discriminator", "ssagan", path, state)
    if {"fc_code", "GBlocks"} <= starts:
        return _Part("generator", "galip", path, state)
    if "DBlocks" in starts:
        return _Part("discriminator", "galip", path, state)
    if "joint_conv" in starts:
        return _Part("head", "galip", path, state)
    if {"visual", "token_embedding"} <= starts:
        return _Part("clip", "galip", path, {name: x for name, x in state.items() if name not in NO_WEIGHTS})
    return None


def _parts(kind: Kind, files: Sequence[Path]) -> dict[str, list[_Part]]:
    """The networks by role: each there once, the discriminators of AttnGAN and DM-GAN once a stage."""
    parts: dict[str, list[_Part]] = defaultdict(list)
    for path in files:
        found = [part for state in read_states(path) if (part := _recognised(path, state))]
        if not found:
            raise ValueError(
                f"{path} holds no network of {', '.join(GANS)} or DAMSM: its tensors are "
                f"{', '.join(list(read_states(path)[0])[:5])} ..."
            )
        for part in found:
            if part.kind not in ("", kind):
                raise ValueError(f"{path} holds the {part.role} of {part.kind}, --kind is {kind}: leave it out")
            parts[part.role].append(part)
    if kind == "galip" and "clip" not in parts:
        try:
            path = openai_weights()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                "no file holds CLIP: of it a checkpoint of GALIP has the vision transformer's blocks alone, neither "
                f"the text transformer nor the projections. {error}"
            ) from error
        parts["clip"] = [part for state in read_states(path) if (part := _recognised(path, state))]
    if lacking := [role for role in NEEDED.get(kind, ("generator", *NEEDED["damsm"])) if role not in parts]:
        where = (
            "state_epoch_NNN.pth has it"
            if kind == "galip"
            else "the encoders are published beside the generator, as text_encoderNNN.pth and image_encoderNNN.pth"
        )
        raise ValueError(f"no file holds the {' or the '.join(lacking)}, which {kind} needs: {where}")
    for role, several in parts.items():
        if len(several) > 1 and (role != "discriminator" or kind in ("ssagan", "galip")):
            holders = " and ".join(sorted({str(part.path) for part in several}))
            raise ValueError(f"{holders} hold {len(several)} networks that are the {role}: give one of them")
    return parts


def _with_words(
    kind: Kind, parts: Mapping[str, Sequence[_Part]], captions: Path | None, name: str | None
) -> tuple[Recipe, Tokenizer]:
    """The recipe and the vocabulary of networks that read DAMSM's words."""
    if captions is None:
        raise ValueError(f"{kind} reads words by their numbers: give --captions, the captions.pickle of its authors")
    words = vocabulary_words(captions)
    rows = official_sizes.size(parts["text_encoder"][0].state, "encoder.weight", 0)
    if rows is not None and rows != len(words) + 1:
        raise ValueError(
            f"{captions} has {len(words) + 1} words with the end sign, the text encoder "
            f"{parts['text_encoder'][0].path} {rows}: give the captions.pickle that is published with it. One that is "
            "rebuilt from the texts numbers the words otherwise (5,598 instead of CUB's 5,450)"
        )
    made = _recipe(kind, parts, len(words) + 1, name)
    return made, Vocabulary(words, max_words=made.max_words, letters="ascii")


def _with_clip(
    parts: Mapping[str, Sequence[_Part]], captions: Path | None, name: str | None
) -> tuple[Recipe, Tokenizer]:
    """The recipe and the tokens of GALIP.

    Raises:
        ValueError: the generator holds blocks of another CLIP.
    """
    if captions is not None:
        raise ValueError("galip reads CLIP's own tokens: leave --captions out")
    clip, generator = parts["clip"][0], parts["generator"][0]
    inside = {name.removeprefix(INSIDE): x for name, x in generator.state.items() if name.startswith(INSIDE)}
    if others := [name for name, x in inside.items() if not _same(x, clip.state.get(f"visual.{name}"))]:
        raise ValueError(
            f"{clip.path} is not the CLIP that {generator.path} was trained with: {len(others)} of its "
            f"{len(inside)} tensors differ from those in there, such as {', '.join(others[:3])}"
        )
    base = named(name or "galip_coco")
    if class_of(base.gan) is not GALIP:
        raise ValueError(f"--recipe {name} is of {base.row.gan}, --kind is galip: give a recipe of galip")
    sizes = official_sizes.clip(clip.state)
    judges = [part.state for role in ("discriminator", "head") for part in parts.get(role, [])]
    of_gan = official_sizes.galip(generator.state, judges)
    made = replace(
        base,
        row=base.row.with_variant("official"),
        about=f"{base.about}: the weights of its authors",
        image_size=sizes.get("image_size", base.image_size),  # GALIP draws at CLIP's own size
        max_words=sizes.get("context_length", base.max_words),
        # Reference quirk: the double rescale of CLIP's input. Kept for released weights.
        encoders=partial(CLIP, weights=None, reference_input=True, **sizes),
        gan=partial(GALIP, **{**getattr(base.gan, "keywords", {}), **of_gan}),
    )
    return made, CLIPTokenizer(context_length=made.max_words)


def _same(one: Tensor, other: Tensor | None) -> bool:
    """Whether two tensors are equal to half precision, in which GALIP keeps CLIP on GPUs."""
    return other is not None and one.shape == other.shape and torch.allclose(one.float(), other.float(), 1e-3, 1e-6)


def _recipe(kind: Kind, parts: Mapping[str, Sequence[_Part]], num_words: int, name: str | None) -> Recipe:
    """The recipe of the data, with networks of the sizes that the tensors have and the quirks of the kind."""
    if name is None:
        if num_words not in DATA:
            of_kind = [one for one, make in RECIPES.items() if kind == "damsm" or class_of(make().gan) is GANS[kind]]
            raise ValueError(
                f"the vocabulary has {num_words} words with the end sign, neither the 5450 of CUB nor the 27297 of "
                f"COCO, so the data are not known: give --recipe, one of {', '.join(of_kind)}"
            )
        name = f"{'attngan' if kind == 'damsm' else kind}_{DATA[num_words]}"
    base = named(name)
    if kind != "damsm" and class_of(base.gan) is not GANS[kind]:
        raise ValueError(f"--recipe {name} is of {base.row.gan}, --kind is {kind}: give a recipe of {kind}")
    text = parts["text_encoder"][0].state
    half, embedding_size = (official_sizes.size(text, name, 1) for name in ("rnn.weight_hh_l0", "encoder.weight"))
    # Reference quirk: AttnGAN and DM-GAN resize with align_corners, SSA-GAN without. Kept for released weights.
    backbone = partial(InceptionTrunk, weights=None, align_corners=class_of(base.gan) is not SSAGAN)
    encoders = partial(
        DAMSM,
        backbone=backbone,
        **official_sizes.known(code_size=half and 2 * half, embedding_size=embedding_size),
        gammas=(4.0, 5.0, 10.0),
        save_backbone=True,
        mask_same_label=getattr(base.encoders, "keywords", {}).get("mask_same_label", True),
    )
    made = replace(base, row=base.row.with_variant("official"), encoders=encoders)
    if kind == "damsm":
        return replace(made, about=f"{base.about}: encoders with the weights of their authors")
    infer = official_sizes.ssagan if kind == "ssagan" else official_sizes.stacked
    image_size, sizes = infer(parts["generator"][0].state, [part.state for part in parts.get("discriminator", [])])
    quirks: dict[str, Any] = (
        {"damsm_gammas": (5.0, 5.0, 10.0)}
        if kind == "ssagan"
        else {"damsm_gammas": (4.0, 5.0, 10.0), "mask_order": "reference"}
    )
    gan = partial(GANS[kind], **{**getattr(base.gan, "keywords", {}), **sizes, **quirks})
    return replace(
        made,
        about=f"{base.about}: the weights of its authors",
        image_size=image_size or base.image_size,
        gan=gan,
    )


def _encoder_state(parts: Mapping[str, Sequence[_Part]]) -> State:
    """Both encoders under our names; the image encoder's trunk has a name of its own here."""
    if "clip" in parts:
        return {f"clip.{name}": x for name, x in parts["clip"][0].state.items()}
    state = {f"text_encoder.{name}": x for name, x in parts["text_encoder"][0].state.items()}
    for name, x in parts["image_encoder"][0].state.items():
        head = name.startswith(("emb_features.", "emb_cnn_code."))
        state[f"image_encoder.{name}" if head else f"image_encoder.backbone.{name}"] = x
    return state


def _discriminator_state(gan: TextToImageGAN, parts: Sequence[_Part]) -> State:
    """The discriminator under our names, stages in order.

    Raises:
        ValueError: not every stage has one discriminator.
    """
    if not isinstance(gan.discriminator, nn.ModuleList):
        state = {name: x for part in parts for name, x in part.state.items()}
        expected = gan.discriminator.state_dict()
        # The reference codes create these shortcuts in blocks that keep the width, and never call them.
        unused = [name for name in state if re.match(r"(block|DBlocks\.)\d+\.conv_s\.", name) and name not in expected]
        if unused:
            log.info("left out, since the authors' code never uses them: %s", ", ".join(unused))
        return {name: x for name, x in state.items() if name not in unused}
    by_halvings = {_num_halvings(part.state): part for part in parts}
    stages = [_num_halvings(D.state_dict()) for D in gan.discriminator]
    if len(parts) != len(stages) or sorted(by_halvings) != stages:
        found = ", ".join(f"{part.path} for {4 * 2 ** _num_halvings(part.state)} pixels" for part in parts)
        sizes = ", ".join(str(4 * 2**num_halvings) for num_halvings in stages)
        raise ValueError(f"discriminators are {found}: give one each for {sizes} pixels, or none")
    return {f"{i}.{name}": x for i, stage in enumerate(stages) for name, x in by_halvings[stage].state.items()}


def _num_halvings(state: State) -> int:
    """How often a discriminator halves the resolution down to 4: its 4 x 4 convolutions before the heads."""
    return sum(
        name.startswith("img_code_") and name.endswith(".weight") and x.dim() == 4 and x.shape[-1] == 4
        for name, x in state.items()
    )


def _fill(name: str, module: nn.Module, given: State) -> list[str]:
    """Puts tensors into a module on the meta device; where they do not fit says all that differs instead."""
    problems = mismatches(module, given, counters_optional=True)
    if not problems:
        load_strictly(module, given, name, counters_optional=True)
    return [f"{name}: {problem}" for problem in problems]
