"""Features of real pictures, computed once for the machine and kept in the user's cache.

What is kept is found by its content: the pixels of a batch, the extractor and its weights. A picture that is composed
or decoded in another way is another content, so nothing here grows stale.
"""

import hashlib
import io
import logging
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.files import write_atomically
from sclgan.metrics.features import Extractor

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where features are kept: $SCLGAN_CACHE, or .cache/sclgan in the user's home; it may be removed at any time."""
    return Path(os.environ.get("SCLGAN_CACHE") or Path.home() / ".cache" / "sclgan") / "features"


class Remembered:
    """The features of an extractor, a file a batch: 4 bytes a number, 51 MB for 10,000 pictures of 1,280 features.

    The version of torch and the kind of device belong to the content too: they move features in the sixth digit.
    """

    def __init__(self, extractor: Extractor, folder: Path) -> None:
        self.extractor, self.folder = extractor, folder
        made_by = (extractor.name, extractor.weights_sha256, torch.__version__, distributed.device().type)
        self._made_by = "\n".join(map(str, made_by)).encode()

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """What the extractor gives, from the cache where it is there."""
        content = hashlib.sha256(self._made_by + str(tuple(images.shape)).encode())
        content.update(images.cpu().contiguous().numpy().tobytes())
        path = self.folder / content.hexdigest()[:2] / f"{content.hexdigest()}.npy"
        known = self._read(path, len(images))
        if known is not None:
            return known
        features = self.extractor(images)
        buffer = io.BytesIO()
        np.save(buffer, features.numpy(), allow_pickle=False)
        try:
            write_atomically(path, buffer.getvalue())
        except OSError as error:
            log.warning("features cannot be kept (%s): real pictures are measured again each time", error)
        return features

    def _read(self, path: Path, num_rows: int) -> Tensor | None:
        try:
            features = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there, or damaged: computed again
            return None
        whole = features.shape == (num_rows, self.extractor.num_features) and features.dtype == np.float32
        return torch.from_numpy(features) if whole else None
