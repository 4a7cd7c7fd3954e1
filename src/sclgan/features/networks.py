"""The networks of the metrics, from 8-bit pictures to features, each with the resize and the scale of its source.

Heusel et al. 2017 (FID), Parmar et al. 2022 (clean-fid), Radford et al. 2021 (CLIP), Caron et al. 2021 (DINO). All
but the Lite networks need a local file, see `weights`. Rows are float32 on the CPU; each depends on its
own picture alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models import resnet50

from sclgan.distributed import copied
from sclgan.encoders.lite0 import Lite
from sclgan.features.inception_tf import Inception, Poolings
from sclgan.features.resize import pillow, tf1_bilinear
from sclgan.weights.loading import load_strictly
from sclgan.weights.readers import read_states
from sclgan.weights.registry import verified

Prepare = Callable[[UInt8[Tensor, "b 3 h w"]], Float[Tensor, "b 3 s s"]]

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class LiteExtractor:
    """Pooled features of an EfficientNet-Lite with ImageNet weights, 1280 numbers per image.

    Any image size; resized to `image_size` in floating point, bilinear with half-pixel centres, antialiased where it
    shrinks, not quantised again.
    """

    num_features: int = 1280

    def __init__(self, network: type[Lite], *, image_size: int = 128, device: torch.device | None = None) -> None:
        self.name = f"{network.member}@{image_size}"
        self.network = network(image_size=image_size)
        self.weights_sha256 = self.network.weights_sha256
        self.device = device or torch.device("cpu")
        self.network.to(self.device)

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280"]:
        return _in_chunks(lambda chunk: self.network(chunk.float() / 127.5 - 1)[1], images, self.device, 20)

    @torch.no_grad()
    def probabilities(self, features: Float[Tensor, "b 1280"]) -> Float[Tensor, "b 1000"]:
        """Softmax over the 1000 ImageNet classes, bias included."""
        return self.network.logits(features.to(self.device)).softmax(dim=1).cpu()


class InceptionExtractor:
    """Pooled features of an Inception-v3, 2048 numbers per image of any size; `prepare` resizes and scales.

    Raises:
        FileNotFoundError, ValueError: the weights are missing, or not the known ones.
    """

    num_features: int = 2048

    def __init__(
        self, name: str, *, weights: str, poolings: Poolings, prepare: Prepare, device: torch.device | None = None
    ) -> None:
        path, self.weights_sha256 = verified(weights)
        self.name, self.prepare, self.device = name, prepare, device or torch.device("cpu")
        self.network = Inception(read_states(path)[0], poolings=poolings, source=path).to(self.device)

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2048"]:
        return _in_chunks(lambda chunk: self.network(self.prepare(chunk)), images, self.device, 8)

    @torch.no_grad()
    def probabilities(self, features: Float[Tensor, "b 2048"]) -> Float[Tensor, "b c"]:
        """Softmax over the classes without the classifier's bias, as the Inception Score is computed."""
        return self.network.logits(features.to(self.device), bias=False).softmax(dim=1).cpu()


def prepare_tf1(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 299 299"]:
    """As TensorFlow's graph of 2015: (resize(x) - 128) / 128."""
    return (tf1_bilinear(images, 299) - 128) / 128


def prepare_clean(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 299 299"]:
    """As clean-fid: Pillow's bicubic resize of each channel in floating point, clamped, then as TensorFlow's."""
    return (pillow(images, 299, filter="bicubic", quantised=False).clamp(0, 255) - 128) / 128


def prepare_legacy(images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 299 299"]:
    """As the FID code of DM-GAN: Pillow's bilinear resize in 8 bits, then x deviation / 0.5 + (mean - 0.5) / 0.5.

    Reference quirk: the formula is for x normalised by ImageNet's mean and deviation, but x is in [0, 1]. The network
    sees about [-0.2, 0.43] instead of [-1, 1]. So did the early pytorch-fid that DM-GAN, DF-GAN and GALIP copied.
    """
    x = pillow(images, 299, filter="bilinear", quantised=True) / 255
    mean, deviation = _columns(IMAGENET_MEAN, x), _columns(IMAGENET_DEVIATION, x)
    return x * (deviation / 0.5) + (mean - 0.5) / 0.5


class CLIPExtractor:
    """CLIP's image and caption features, unnormalised, from the original weights.

    Square pictures as OpenAI prepares them: Pillow's bicubic resize in 8 bits, CLIP's mean and deviation. `sizes` are
    the arguments of `encoders.clip.CLIP`.

    Raises:
        ModuleNotFoundError: open_clip is not installed.
        FileNotFoundError, ValueError: the weights are missing, or not the known ones.
    """

    def __init__(
        self, name: str, *, weights: str, sizes: Mapping[str, Any], device: torch.device | None = None
    ) -> None:
        from sclgan.encoders.clip import CLIP  # open_clip is optional
        from sclgan.encoders.clip_tokens import CLIPTokenizer

        path, self.weights_sha256 = verified(weights)
        self.name, self.device = name, device or torch.device("cpu")
        self.network = CLIP(weights=str(path), trained="nothing", **sizes).to(self.device).eval()
        self.tokenizer = CLIPTokenizer(context_length=self.network.context_length)
        self.num_features = self.network.code_size
        self._texts: tuple[tuple[str, ...], Tensor] = ((), torch.empty(0, self.num_features))

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        return _in_chunks(self._image_codes, images, self.device, 16)

    @torch.no_grad()
    def texts(self, captions: Sequence[str]) -> Float[Tensor, "b d"]:
        """Features of captions, cut to the length that CLIP reads."""
        if self._texts[0] != tuple(captions):  # several metrics ask for the same batch
            codes = self.network.encode_text(self.tokenizer(captions).to(self.device)).sentence
            self._texts = tuple(captions), codes.float().cpu()
        return self._texts[1]

    def _image_codes(self, images: Tensor) -> Tensor:
        pixels = pillow(images, self.network.image_size, filter="bicubic", quantised=True)
        return self.network.encode_image(pixels / 127.5 - 1).image


VIT_B_32: Mapping[str, int] = {}
VIT_L_14: Mapping[str, int] = {
    "code_size": 768,
    "num_text_heads": 12,
    "patch_size": 14,
    "image_width": 1024,
    "num_image_blocks": 24,
    "num_image_heads": 16,
}


class DINOExtractor:
    """Pooled features of the ResNet-50 that DINO trained without labels, 2048 numbers per image.

    The whole picture by Pillow's bicubic resize in 8 bits to 224 pixels, ImageNet's mean and deviation.

    Raises:
        FileNotFoundError, ValueError: the weights are missing, or not those of a ResNet-50 without classifier.
    """

    num_features: int = 2048

    def __init__(self, name: str, *, weights: str, device: torch.device | None = None) -> None:
        path, self.weights_sha256 = verified(weights)
        self.name, self.device = name, device or torch.device("cpu")
        self.network = resnet50(weights=None)
        self.network.fc = nn.Identity()
        load_strictly(self.network, read_states(path)[0], path, network="DINO's ResNet-50", counters_optional=True)
        self.network.to(self.device, memory_format=torch.channels_last).requires_grad_(False).eval()

    def __call__(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2048"]:
        return _in_chunks(self._features, images, self.device, 8)

    def _features(self, images: Tensor) -> Tensor:
        x = pillow(images, 224, filter="bicubic", quantised=True) / 255
        x = (x - _columns(IMAGENET_MEAN, x)) / _columns(IMAGENET_DEVIATION, x)
        return self.network(x.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


@torch.no_grad()
def _in_chunks(
    network: Callable[[Tensor], Tensor], images: UInt8[Tensor, "b 3 h w"], device: torch.device, num_images: int
) -> Float[Tensor, "b d"]:
    """The network's rows; on a CPU by `num_images` at once: larger maps leave the cache and cost speed."""
    chunks = torch.split(images, num_images) if device.type == "cpu" else (images,)
    return torch.cat([network(chunk.to(device)).float().cpu() for chunk in chunks])


def _columns(numbers: Sequence[float], like: Tensor) -> Tensor:
    return copied(torch.tensor(numbers), like.device)[:, None, None]
