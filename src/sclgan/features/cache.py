"""Features of real pictures and classifiers fitted to them, computed once per machine and kept in the user's cache.

A file is found by its content: the pixels of a batch, the extractor and its weights. A picture that is composed or
decoded in another way has other content, so nothing here becomes outdated.
"""

import hashlib
import io
import logging
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sclgan import distributed
from sclgan.features.registry import Extractor
from sclgan.files import write_atomically
from sclgan.metrics.probe import MAX_STEPS, PENALTY, TOLERANCE, LinearProbe, fit

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder of features: in $SCLGAN_CACHE, or in ~/.cache/sclgan; it may be removed at any time."""
    return Path(os.environ.get("SCLGAN_CACHE") or Path.home() / ".cache" / "sclgan") / "features"


class Cached:
    """The features of an extractor, a file per batch: 4 bytes per number, 51 MB for 10,000 pictures of 1,280 features.

    The version of torch and the kind of device belong to the content too: they move features in the sixth digit.
    """

    def __init__(self, extractor: Extractor, folder: Path) -> None:
        self.extractor, self.folder = extractor, folder
        made_by = (extractor.name, extractor.weights_sha256, torch.__version__, distributed.device().type)
        self._made_by = "\n".join(map(str, made_by)).encode()

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """The features of the pictures, from the cache if they are in it."""
        path = _path(self.folder, self._made_by, images, suffix="npy")
        known = self._read(path, len(images))
        if known is not None:
            return known
        features = self.extractor(images)
        buffer = io.BytesIO()
        np.save(buffer, features.numpy(), allow_pickle=False)
        _keep(path, buffer.getvalue())
        return features

    def _read(self, path: Path, num_rows: int) -> Tensor | None:
        try:
            features = np.load(path, mmap_mode="r", allow_pickle=False)  # a header may claim any size
        except (OSError, ValueError, EOFError):  # missing, or damaged: computed again
            return None
        whole = features.shape == (num_rows, self.extractor.num_features) and features.dtype == np.float32
        return torch.from_numpy(np.array(features)) if whole else None


def cached_fit(features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], folder: Path | None) -> LinearProbe:
    """`probe.fit` of these rows, from the cache if it is in it; a file of 2.4 MB for 458 classes."""
    if folder is None:
        return fit(features, labels)
    made_by = "\n".join(map(str, ("probe", PENALTY, TOLERANCE, MAX_STEPS, torch.__version__))).encode()
    path = _path(folder, made_by, features, labels, suffix="safetensors")
    try:
        return LinearProbe(**load(path.read_bytes()))
    except (OSError, SafetensorError, TypeError):  # missing, or damaged: fitted again
        probe = fit(features, labels)
    _keep(path, save({name: part.contiguous() for name, part in vars(probe).items()}))
    return probe


def _path(folder: Path, made_by: bytes, *contents: Tensor, suffix: str) -> Path:
    """The file of these contents, processed as `made_by` says."""
    digest = hashlib.sha256(made_by)
    for content in contents:
        digest.update(str(tuple(content.shape)).encode())
        digest.update(content.cpu().contiguous().numpy().tobytes())
    return folder / digest.hexdigest()[:2] / f"{digest.hexdigest()}.{suffix}"


def _keep(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        log.warning("features cannot be cached (%s): real pictures are measured again each time", error)
