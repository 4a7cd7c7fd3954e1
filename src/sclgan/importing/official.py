"""The files that the authors of AttnGAN, DM-GAN, SSA-GAN and GALIP publish, turned into run folders.

Xu et al. 2018 (AttnGAN and its encoders, DAMSM); Zhu et al. 2019 (DM-GAN); Liao et al. 2022 (SSA-GAN); Tao et al. 2023
(GALIP). Sizes are told by the shapes of tensors. Files are read as plain tensors, never unpickled freely.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from sclgan.encoders.base import Encoders, Tokenizer
from sclgan.files import replaced
from sclgan.gans.base import TextToImageGAN
from sclgan.importing.networks import Kind, Network, Networks, read_networks
from sclgan.importing.recipes import CLIP_IN_GENERATOR, with_clip, with_words
from sclgan.recipe import Recipe
from sclgan.runs import checkpoint
from sclgan.runs.encoders import save_encoders
from sclgan.runs.folder import claim
from sclgan.weights.loading import load_strictly, mismatches, summary
from sclgan.weights.readers import State

log = logging.getLogger(__name__)


def import_files(
    kind: Kind, files: Sequence[Path], *, captions: Path | None = None, out: Path, recipe: str | None = None
) -> Recipe:
    """Writes the run folder `out` of published weights, or for the kind "damsm" a folder of encoders; its recipe.

    `files` are the text and the image encoder and, except for "damsm", the generator and optionally all
    discriminators, in any order. `captions` is the captions.pickle that they were trained with. `recipe` names the
    recipe of the data, which the size of the vocabulary tells for CUB and COCO; networks are built as the files say.

    For "galip" the files are a checkpoint and OpenAI's CLIP, which is taken from a cache if it is not given.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, contains more than plain tensors, or does not belong to the others; the first
            tensors of each network that are missing, unexpected or of another shape are named, and all are counted.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty, and nothing in it is overwritten: give another --out")
    networks = read_networks(kind, files)
    made: Recipe
    tokenizer: Tokenizer
    made, tokenizer = (
        with_clip(networks, captions, recipe) if kind == "galip" else with_words(kind, networks, captions, recipe)
    )
    with torch.device("meta"):  # no memory and no time for initial weights: all come from the files
        encoders = made.encoders(tokenizer.num_tokens)
        gan = None if kind == "damsm" else made.gan(encoders, image_size=made.image_size)
    _fill(_given(networks, encoders, gan), f"{', '.join(map(str, files))} do not make up {kind} as published")
    with replaced(out) as folder:
        claim(folder, made)
        save_encoders(folder, encoders, tokenizer)
        if gan is not None:
            _save_gan(folder, gan, with_discriminator="discriminator" in networks or "head" in networks)
    return made


class _Given(NamedTuple):
    """The tensors for a module that is on the device "meta"."""

    name: str
    module: nn.Module
    state: State


def _given(networks: Networks, encoders: Encoders, gan: TextToImageGAN | None) -> list[_Given]:
    """All modules that the files have tensors for."""
    given = [_Given("encoders", encoders, _encoder_state(networks))]
    if gan is not None:
        state = networks["generator"][0].state
        of_generator = {name: x for name, x in state.items() if not name.startswith(CLIP_IN_GENERATOR)}
        given.append(_Given("generator", gan.generator, of_generator))
        if judges := [*networks.get("discriminator", []), *networks.get("head", [])]:
            given.append(_Given("discriminator", gan.discriminator, _discriminator_state(gan, judges)))
    return given


def _fill(given: Sequence[_Given], complaint: str) -> None:
    """Puts the tensors into their modules, if all of them fit."""
    differing = {name: mismatches(module, state, counters_optional=True) for name, module, state in given}
    if any(differing.values()):
        named = "; ".join(f"{name}: {summary(lines)}" for name, lines in differing.items() if lines)
        raise ValueError(f"{complaint}: {sum(map(len, differing.values())):,} tensors differ: {named}")
    for name, module, state in given:
        load_strictly(module, state, name, counters_optional=True)


def _save_gan(folder: Path, gan: TextToImageGAN, *, with_discriminator: bool) -> None:
    """Writes the networks as the checkpoint of step 0."""
    weights = folder / "checkpoints" / "step_00000000"
    weights.mkdir(parents=True)
    checkpoint.save_weights(weights / "generator.safetensors", gan.generator)
    checkpoint.save_weights(weights / "averaged_generator.safetensors", gan.generator)
    if with_discriminator:
        checkpoint.save_weights(weights / "discriminator.safetensors", gan.discriminator)


def _encoder_state(networks: Networks) -> State:
    """Both encoders under our names; the image encoder's trunk has a name of its own here."""
    if "clip" in networks:
        return {f"clip.{name}": x for name, x in networks["clip"][0].state.items()}
    state = {f"text_encoder.{name}": x for name, x in networks["text_encoder"][0].state.items()}
    for name, x in networks["image_encoder"][0].state.items():
        head = name.startswith(("emb_features.", "emb_cnn_code."))
        state[f"image_encoder.{name}" if head else f"image_encoder.backbone.{name}"] = x
    return state


def _discriminator_state(gan: TextToImageGAN, networks: Sequence[Network]) -> State:
    """The discriminator under our names, stages in order.

    Raises:
        ValueError: not every stage has one discriminator.
    """
    if isinstance(gan.discriminator, nn.ModuleList):
        return _state_of_stages(gan.discriminator, networks)
    state = {name: x for network in networks for name, x in network.state.items()}
    expected = gan.discriminator.state_dict()
    # The reference codes create these shortcuts in blocks that keep the width, and never call them.
    unused = [name for name in state if re.match(r"(block|DBlocks\.)\d+\.conv_s\.", name) and name not in expected]
    if unused:
        log.info("left out, since the authors' code never uses them: %s", ", ".join(unused))
    return {name: x for name, x in state.items() if name not in unused}


def _state_of_stages(discriminators: nn.ModuleList, networks: Sequence[Network]) -> State:
    by_halvings = {_num_halvings(network.state): network for network in networks}
    stages = [_num_halvings(discriminator.state_dict()) for discriminator in discriminators]
    if len(networks) != len(stages) or sorted(by_halvings) != stages:
        found = ", ".join(f"{network.path} for {4 * 2 ** _num_halvings(network.state)} pixels" for network in networks)
        sizes = ", ".join(str(4 * 2**num_halvings) for num_halvings in stages)
        raise ValueError(f"discriminators are {found}: give one each for {sizes} pixels, or none")
    return {f"{i}.{name}": x for i, stage in enumerate(stages) for name, x in by_halvings[stage].state.items()}


def _num_halvings(state: State) -> int:
    """How often a discriminator halves the resolution down to 4: its 4 x 4 convolutions before the heads."""
    return sum(
        name.startswith("img_code_") and name.endswith(".weight") and x.dim() == 4 and x.shape[-1] == 4
        for name, x in state.items()
    )
