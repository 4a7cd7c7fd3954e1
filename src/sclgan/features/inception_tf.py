"""Inception-v3 as the metrics know it: TensorFlow's network of 2015 as ported to PyTorch, and torchvision's.

Szegedy et al. 2016, "Rethinking the Inception Architecture"; the network of Salimans et al. 2016 and Heusel et al.
2017. Published state dicts load unchanged; convolutions are torchvision's, poolings differ between the networks.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import Inception3

from sclgan.weights.loading import load_strictly

Poolings = Literal["tensorflow", "torchvision"]

STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "pool", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "pool")
BLOCKS = (
    *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    *("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
SHRINKING = ("Mixed_6a", "Mixed_7a")

DOUBLE = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
PATHS = {
    "Mixed_5": (("branch1x1",), ("branch5x5_1", "branch5x5_2"), DOUBLE, ("pool", "branch_pool")),
    "Mixed_6a": (("branch3x3",), DOUBLE, ("pool",)),
    "Mixed_6": (
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        ("branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"),
        ("pool", "branch_pool"),
    ),
    "Mixed_7a": (
        ("branch3x3_1", "branch3x3_2"),
        ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"),
        ("pool",),
    ),
    "Mixed_7": (
        ("branch1x1",),
        ("branch3x3_1", "branch3x3_2a|branch3x3_2b"),
        (*DOUBLE[:2], "branch3x3dbl_3a|branch3x3dbl_3b"),
        ("pool", "branch_pool"),
    ),
}
"""The paths through a block, or through every other block of its stage; their outputs are concatenated. Of a|b each
sees the same input, and both count."""

shrinking_maximum = partial(F.max_pool2d, kernel_size=3, stride=2)
maximum = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
average = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1)
average_of_inside = partial(average, count_include_pad=False)


class Inception(nn.Module):
    """Pooled features of images of 299 x 299 pixels with values in about [-1, 1], and scores of classes; frozen.

    `state` has the keys of torchvision's Inception-v3, with or without the auxiliary classifier, as
    `pt_inception-2015-12-05-6726825d.pth` has. `poolings` is where the networks differ: TensorFlow's average leaves
    the padding out and its last block has a maximum instead (a quirk of the graph of 2015, kept by the port);
    torchvision's average counts the padding as zeros.

    BatchNorm is folded into the convolutions. On a CPU maps have channels last and kernels are laid out for oneDNN
    once: about twice the speed of the network as published, equal up to float32 rounding.

    Raises:
        ValueError: `state` is of another network; what is missing, unknown or of another shape is named.
    """

    num_features: int = 2048

    def __init__(
        self, state: Mapping[str, Tensor], *, poolings: Poolings, source: str | Path = "the state dict"
    ) -> None:
        super().__init__()
        network = _loaded(state, source)
        self.stem = nn.ModuleList(
            _Pool(shrinking_maximum) if name == "pool" else _Conv(network.get_submodule(name)) for name in STEM
        )
        self.blocks = nn.ModuleList(
            _Block(network.get_submodule(name), name, _pooling(name, poolings)) for name in BLOCKS
        )
        self.classifier: nn.Linear = network.fc
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    def forward(self, image: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b 2048"]:
        x = image.contiguous(memory_format=torch.channels_last)
        for layer in (*self.stem, *self.blocks):
            x = layer(x)
        return x.mean(dim=(2, 3))

    def logits(self, features: Float[Tensor, "b 2048"], *, bias: bool) -> Float[Tensor, "b c"]:
        """Scores of the classes; the Inception Score takes them without the bias, as its graph gave them."""
        return F.linear(features, self.classifier.weight, self.classifier.bias if bias else None)


class _Block(nn.Module):
    def __init__(self, block: nn.Module, name: str, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        paths = PATHS.get(name) or PATHS[name[:-1]]
        self.paths = nn.ModuleList(nn.ModuleList(_step(block, step, pool) for step in path) for path in paths)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for path in self.paths:
            y = x
            for step in path:  # type: ignore[attr-defined]
                y = step(y)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


class _Both(nn.Module):
    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class _Pool(nn.Module):
    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


class _Conv(nn.Module):
    """Convolution, BatchNorm with its running statistics, and ReLU as one convolution."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        conv, norm = layer.get_submodule("conv"), layer.get_submodule("bn")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernel = conv.weight.detach().double() * scale[:, None, None, None]
        bias = norm.bias.detach().double() - norm.running_mean.double() * scale
        self.kernel = nn.Parameter(kernel.to(conv.weight.dtype))
        self.bias = nn.Parameter(bias.to(conv.weight.dtype))
        self.stride, self.padding = list(conv.stride), [int(side) for side in conv.padding]
        self.laid_out: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad and _ONEDNN:
            # What torch.compile makes of these layers: the kernel in oneDNN's order, ReLU while the map is written.
            if self.laid_out is None:
                self.laid_out = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[call-arg]
                    self.kernel.detach().to_mkldnn(), self.padding, self.stride, [1, 1], 1, list(x.shape)
                )
            return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
                x, self.laid_out, self.bias, self.padding, self.stride, [1, 1], 1, "relu", [], "none"
            )
        return F.relu_(F.conv2d(x, self.kernel, self.bias, self.stride, self.padding))


_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


def _step(block: nn.Module, step: str, pool: Callable[[Tensor], Tensor]) -> nn.Module:
    if step == "pool":
        return _Pool(pool)
    branches: list[nn.Module] = [_Conv(block.get_submodule(name)) for name in step.split("|")]
    return branches[0] if len(branches) == 1 else _Both(branches)


def _pooling(name: str, poolings: Poolings) -> Callable[[Tensor], Tensor]:
    if name in SHRINKING:
        return shrinking_maximum
    if poolings == "torchvision":
        return average
    return maximum if name == "Mixed_7c" else average_of_inside


def _loaded(state: Mapping[str, Tensor], source: str | Path) -> Inception3:
    """torchvision's layers with the weights of `state`."""
    num_classes = len(state["fc.bias"]) if "fc.bias" in state else 1000
    network = Inception3(num_classes=num_classes, aux_logits=False, transform_input=False, init_weights=False)
    load_strictly(
        network, state, source, network="Inception-v3", ignored_prefixes=("AuxLogits.",), counters_optional=True
    )
    return network
