"""Feature extractors of the metrics: 8-bit pictures to feature vectors, resize included.

Parmar et al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (arXiv 2104.11222): the resize
and the quantisation move the values as much as a year of research, so they belong to the extractor.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sclgan.encoders.lite0 import Lite0

CHUNK = 20  # images a forward: on a CPU larger maps leave the cache and halve the speed


@runtime_checkable
class Extractor(Protocol):
    """A frozen network between pictures and a metric."""

    @property
    def name(self) -> str: ...

    @property
    def weights_sha256(self) -> str: ...

    @property
    def num_features(self) -> int: ...

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Float32 features on the CPU; each row depends on its own image alone."""
        ...


@runtime_checkable
class Classifier(Extractor, Protocol):
    """An extractor whose features its own network can classify, as the Inception-Score form needs."""

    def probabilities(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]: ...


def quantise(images: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """Images in [-1, 1] as 8-bit pixels: round((x + 1) / 2 * 255), values outside the range clamped.

    Rounded to the nearest (ties to even), as a saved PNG would be; truncation darkens by half a grey level.
    """
    return ((images.detach() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Lite0Extractor:
    """Pooled features of EfficientNet-Lite0 with ImageNet weights, 1280 numbers an image.

    Any image size; resized to `image_size` in floating point, bilinear with half-pixel centres, antialiased where it
    shrinks, not quantised again.
    """

    num_features: int = 1280

    def __init__(self, *, image_size: int = 128, device: torch.device | None = None) -> None:
        self.name = f"lite0@{image_size}"
        self.network = Lite0(image_size=image_size)
        self.weights_sha256 = self.network.weights_sha256
        self.device = device or torch.device("cpu")
        self.network.to(self.device)

    @torch.no_grad()
    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280"]:
        chunks = torch.split(images, CHUNK) if self.device.type == "cpu" else (images,)
        pooled = [self.network(chunk.to(self.device).float() / 127.5 - 1)[1] for chunk in chunks]
        return torch.cat(pooled).float().cpu()

    @torch.no_grad()
    def probabilities(self, features: Float[Tensor, "b 1280"]) -> Float[Tensor, "b 1000"]:
        """Softmax over the 1000 ImageNet classes, bias included."""
        return self.network.logits(features.to(self.device)).softmax(dim=1).cpu()


EXTRACTORS = {"lite0@128": Lite0Extractor}
