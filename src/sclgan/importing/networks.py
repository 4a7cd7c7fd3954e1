"""The networks in published files. Which file holds which is told by the tensors in it, never by its name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sclgan.encoders.clip import NO_WEIGHTS, openai_weights
from sclgan.weights.readers import State, read_states

Kind = Literal["attngan", "dmgan", "ssagan", "galip", "damsm"]
Role = Literal["text_encoder", "image_encoder", "clip", "generator", "discriminator", "head"]
Networks = Mapping[Role, Sequence["Network"]]

ENCODERS: tuple[Role, ...] = ("text_encoder", "image_encoder")
NEEDED: Mapping[Kind, tuple[Role, ...]] = {
    **dict.fromkeys(get_args(Kind), ("generator", *ENCODERS)),
    "damsm": ENCODERS,
    "galip": ("generator", "clip"),
}


@dataclass(frozen=True)
class Network:
    """The tensors of one network under our names, and their file. `kind` is None where several GANs share it."""

    role: Role
    kind: Kind | None
    path: Path
    state: State


def read_networks(kind: Kind, files: Sequence[Path]) -> Networks:
    """The networks of the files by role: each once, but for the discriminators of AttnGAN and DM-GAN, one per stage.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, holds none of these networks, or one of another kind; a network is missing, or
            occurs twice.
    """
    networks: dict[Role, list[Network]] = defaultdict(list)
    for path in files:
        for network in _networks_in(path):
            if network.kind not in (None, kind):
                raise ValueError(f"{path} holds the {network.role} of {network.kind}, --kind is {kind}: leave it out")
            networks[network.role].append(network)
    if kind == "galip" and "clip" not in networks:
        networks["clip"] = _networks_in(_cached_clip())
    _check_complete(kind, networks)
    return networks


def _networks_in(path: Path) -> list[Network]:
    states = read_states(path)
    found = [network for state in states if (network := _recognised(path, state))]
    if not found:
        kinds = ", ".join(kind for kind in get_args(Kind) if kind != "damsm")
        raise ValueError(
            f"{path} holds no network of {kinds} or DAMSM: its tensors are {', '.join(list(states[0])[:5])} ..."
        )
    return found


def _cached_clip() -> Path:
    try:
        return openai_weights()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            "no file holds CLIP: a checkpoint of GALIP has only the blocks of its vision transformer, neither the text "
            f"transformer nor the projections. {error}"
        ) from error


def _check_complete(kind: Kind, networks: Networks) -> None:
    if lacking := [role for role in NEEDED[kind] if role not in networks]:
        where = (
            "state_epoch_NNN.pth has it"
            if kind == "galip"
            else "the encoders are published beside the generator, as text_encoderNNN.pth and image_encoderNNN.pth"
        )
        raise ValueError(f"no file holds the {' or the '.join(lacking)}, which {kind} needs: {where}")
    for role, several in networks.items():
        if len(several) > 1 and (role != "discriminator" or kind in ("ssagan", "galip")):
            holders = " and ".join(sorted({str(network.path) for network in several}))
            raise ValueError(f"{holders} hold {len(several)} networks that are the {role}: give one of them")


def _recognised(path: Path, state: State) -> Network | None:
    """The network that a state dict belongs to, told by tensors that it alone has."""
    starts = {name.partition(".")[0] for name in state}
    if "rnn" in starts:
        return Network("text_encoder", None, path, state)
    if {"emb_features", "emb_cnn_code"} & starts:
        return Network("image_encoder", None, path, state)
    if "h_net1" in starts:
        if "img_net" in starts:
            raise ValueError(f"{path} holds the one-image variant AttnDCGAN, which is not supported: give AttnGAN's")
        of_attngan = any(name.startswith("h_net2.att.") for name in state)
        return Network("generator", "attngan" if of_attngan else "dmgan", path, state)
    if {"block0", "conv_mask"} <= starts:
        return Network("generator", "ssagan", path, state)
    if "img_code_s16" in starts:
        if any("weight_bar" in name for name in state):
            renamed = {name.replace(".module.", ".").replace("weight_bar", "weight"): x for name, x in state.items()}
            return Network("discriminator", "dmgan", path, renamed)
        return Network("discriminator", "attngan", path, state)
    if {"block0", "COND_DNET"} <= starts:
        return Network("discriminator", "ssagan", path, state)
    if {"fc_code", "GBlocks"} <= starts:
        return Network("generator", "galip", path, state)
    if "DBlocks" in starts:
        return Network("discriminator", "galip", path, state)
    if "joint_conv" in starts:
        return Network("head", "galip", path, state)
    if {"visual", "token_embedding"} <= starts:
        return Network("clip", "galip", path, {name: x for name, x in state.items() if name not in NO_WEIGHTS})
    return None
