"""open_clip, an optional dependency, and the places where it and OpenAI's code keep CLIP's weights.

Ilharco et al. 2021, "OpenCLIP".
"""

import importlib
import os
from pathlib import Path
from typing import Any

URL = (
    "https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"
)
"""OpenAI's file; its sha256 is the last folder of the address."""
REPOSITORY, FILE = "models--timm--vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"


def open_clip() -> Any:
    """The library.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"CLIP needs the package open_clip_torch ({error}): pip install 'sclgan[clip]'"
        ) from error


def cached_weights() -> Path:
    """OpenAI's ViT-B/32 in one of the caches: ~/.cache/clip, or Hugging Face's. Nothing is downloaded.

    Raises:
        FileNotFoundError: it is in neither; the message says what to get and where to put it.
    """
    by_openai = Path.home() / ".cache" / "clip" / "ViT-B-32.pt"
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / REPOSITORY / "snapshots"
    for path in (by_openai, *sorted(hub.glob(f"*/{FILE}"))):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"CLIP's weights are neither at {by_openai} nor in {hub}: get {URL} (354 MB) and put it there, or pass the "
        "path of your copy as `weights` (encoders.weights=FILE in a recipe)"
    )
