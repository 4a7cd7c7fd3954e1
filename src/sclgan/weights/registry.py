"""The public weight files: name, SHA-256, where to get them and where they are looked for. Nothing is downloaded.

Metrics and encoders share this table. A file is verified before it is used, and every result names the hash of its
network: values of unknown networks cannot be compared.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from sclgan.files import sha256_of, write_atomically

ENVIRONMENT = "SCLGAN_WEIGHTS"
HASHES = "hashes.json"


@dataclass(frozen=True)
class WeightsFile:
    """One file. `names` are its file names, each with its SHA-256 as far as it is known: the whole, the beginning, or
    nothing where its authors publish none. `url` is the first name's address, `page` the official page that describes
    it. `size` is in MB. `caches` are folders of other programs that keep it, `hub` is repository and name of the same
    weights in the cache of Hugging Face.
    """

    names: Mapping[str, str]
    size: int
    url: str
    page: str
    serves: str
    caches: tuple[str, ...] = ()
    hub: tuple[str, str] | None = None


TORCH_HUB = "the cache of torch.hub"
OPENAI_CLIP = "~/.cache/clip"
INCEPTION_2015 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

FILES: Mapping[str, WeightsFile] = MappingProxyType(
    {
        "inception-2015": WeightsFile(
            names={  # as pytorch-fid and as torch-fidelity name it; the same bytes
                "pt_inception-2015-12-05-6726825d.pth": INCEPTION_2015,
                "weights-inception-2015-12-05-6726825d.pth": INCEPTION_2015,
            },
            size=96,
            url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
            page="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
            serves="TensorFlow's Inception of 2015 as ported to PyTorch: the literature's FID, KID and Inception Score",
            caches=(TORCH_HUB,),
        ),
        "inception-torchvision": WeightsFile(
            names={"inception_v3_google-0cc3c7bd.pth": "0cc3c7bd", "inception_v3_google-1a9a5a14.pth": "1a9a5a14"},
            size=109,
            url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
            page="https://docs.pytorch.org/vision/stable/models/inception.html",
            serves="torchvision's Inception-v3: the FID of DM-GAN, DF-GAN and GALIP; DAMSM's image encoder",
            caches=(TORCH_HUB,),
        ),
        "clip-vit-b-32": WeightsFile(
            names={"ViT-B-32.pt": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"},
            size=354,
            url="https://openaipublic.azureedge.net/clip/models/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            page="https://github.com/openai/CLIP",
            serves="OpenAI's CLIP ViT-B/32: CLIP score, R-precision, features; GALIP's encoders",
            caches=(OPENAI_CLIP,),
            hub=("models--timm--vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"),
        ),
        "clip-vit-l-14": WeightsFile(
            names={"ViT-L-14.pt": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"},
            size=933,
            url="https://openaipublic.azureedge.net/clip/models/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
            page="https://github.com/openai/CLIP",
            serves="OpenAI's CLIP ViT-L/14: a CLIP score of another network than the one that GALIP trains with",
            caches=(OPENAI_CLIP,),
        ),
        "dino-resnet-50": WeightsFile(
            names={"dino_resnet50_pretrain.pth": ""},
            size=94,
            url="https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth",
            page="https://github.com/facebookresearch/dino",
            serves="DINO's ResNet-50, trained without labels: features that no class of ImageNet has shaped",
            caches=(TORCH_HUB,),
        ),
    }
)


def weights_folder() -> Path:
    """The folder of weights: the value of the environment variable SCLGAN_WEIGHTS, else ~/.cache/sclgan."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "sclgan"


def verified(key: str) -> tuple[Path, str]:
    """The file of these weights and its SHA-256.

    Raises:
        FileNotFoundError: it is in none of the folders; the message says what to get and where to put it.
        ValueError: the file has another SHA-256 than the known one.
    """
    path = found(key)
    if path is None:
        raise FileNotFoundError(instructions(key))
    sha256, known = _sha256(path), _known_sha256(path, FILES[key])
    if not sha256.startswith(known):
        raise ValueError(
            f"{path} has SHA-256 {sha256}, expected {known}{'' if len(known) == 64 else '...'}: "
            f"it is damaged or another file; get {FILES[key].url} again"
        )
    return path, sha256


def found(key: str) -> Path | None:
    """The path of these weights, verified or not; None if they are nowhere."""
    return next((path for path in _places(FILES[key]) if path.is_file()), None)


def instructions(key: str) -> str:
    """The message for missing weights: the file to get, and where to put it."""
    weights = FILES[key]
    known = next(iter(weights.names.values()))
    sha256 = f", SHA-256 {known}{'' if len(known) == 64 else '...'}" if known else ""
    return (
        f"{' or '.join(weights.names)} is missing: get {weights.url} ({weights.size} MB{sha256}; described at "
        f"{weights.page}) and put it in {weights_folder()} (another folder: set {ENVIRONMENT})"
    )


def _places(weights: WeightsFile) -> Iterator[Path]:
    """Every path at which the file is looked for."""
    caches = {
        TORCH_HUB: Path(torch.hub.get_dir()) / "checkpoints",
        OPENAI_CLIP: Path.home() / ".cache" / "clip",
    }
    for folder in (weights_folder(), *(caches[name] for name in weights.caches)):
        yield from (folder / name for name in weights.names)
    if weights.hub is not None:
        repository, name = weights.hub
        home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
        hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
        yield from sorted(hub.glob(f"{repository}/snapshots/*/{name}"))


def _known_sha256(path: Path, weights: WeightsFile) -> str:
    """The known SHA-256 of a file, or its beginning; Hugging Face's cache links to files that are named by theirs."""
    if path.name in weights.names:
        return weights.names[path.name]
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else ""


def _sha256(path: Path) -> str:
    """The hash of a file, computed again if its size or time changed since it was recorded."""
    status = path.stat()
    notes = weights_folder() / HASHES
    known = _read(notes)
    state = [status.st_size, status.st_mtime_ns]
    name = str(path.resolve())
    if known.get(name, [])[:2] != state:
        known[name] = [*state, sha256_of(path)]
        with suppress(OSError):  # the folder cannot be written: the hash is computed each time
            write_atomically(notes, json.dumps(known, indent=1).encode())
    return str(known[name][2])


def _read(notes: Path) -> dict[str, list[int | str]]:
    try:
        content = json.loads(notes.read_text())
        return {name: state for name, state in content.items() if len(state) == 3}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
