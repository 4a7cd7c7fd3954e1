"""Parts that several GANs share: batch normalisation over all ranks, a leaky ReLU for gradient penalties.

Ioffe and Szegedy 2015, "Batch Normalization", Algorithm 1; Tao et al. 2022, "DF-GAN", section 3.2 (the penalty).
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.distributed import sum_over_ranks, world_size


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose training statistics are over the rows of all ranks.

        y = (x - mean) / sqrt(var + eps) * weight + bias        mean, biased var over ranks, rows, h, w

    In one process it is `nn.BatchNorm2d`; with ranks, which may differ in their number of rows, every rank gets the
    output, the running statistics and, after averaging gradients, the gradients of one process with the whole batch.
    State dicts are those of `nn.BatchNorm2d`. First derivatives only.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not self.training or (input.is_cuda and world_size() == 1):
            return super().forward(input)
        return _normalised(self, input)


class GlobalBatchNorm1d(nn.BatchNorm1d):
    """`GlobalBatchNorm2d` for vectors; in one process it is `nn.BatchNorm1d`."""

    def forward(self, input: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        if not self.training or world_size() == 1:
            return super().forward(input)
        return _normalised(self, input[:, :, None, None])[:, :, 0, 0]


def _normalised(
    layer: GlobalBatchNorm1d | GlobalBatchNorm2d, input: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """The output in training; moves the running statistics as `nn.BatchNorm2d` does, with the unbiased variance."""
    normal, mean, var, count = _Normalise.apply(input, layer.eps)
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        layer.running_mean.lerp_(mean, momentum)
        layer.running_var.lerp_(var * (count / (count - 1).clamp(min=1)), momentum)
    return torch.addcmul(layer.bias[:, None, None], normal, layer.weight[:, None, None]) if layer.affine else normal


class _Normalise(torch.autograd.Function):
    """`(x - mean) / sqrt(var + eps)`, with mean, var and the number of values that they are of.

    torch's own kernel for channels-last tensors on CPU adds up a channel one by one in float32: at 256 pixels its
    statistics are off by 1e-5 and gradients that pass many layers by 1e-2. `sum` adds in pairs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = x.new_full((1,), x.numel() // x.shape[1])
        # One message: the sums, and behind them the count.
        sums = sum_over_ranks(torch.cat([x.sum((0, 2, 3)), own]))
        count = sums[-1]
        mean = sums[:-1] / count
        normal = x - mean[:, None, None]
        var = sum_over_ranks(normal.square().sum((0, 2, 3))) / count
        scale = torch.rsqrt(var + eps)
        normal *= scale[:, None, None]
        ctx.save_for_backward(normal, scale, count)
        ctx.mark_non_differentiable(mean, var, count)
        return normal, mean, var, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None]:
        normal, scale, count = ctx.saved_tensors
        sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        mean, slope = (sum_over_ranks(sums) / count)[:, :, None, None]
        # d loss / d x = (gradient - mean(gradient) - normal * mean(gradient * normal)) / sqrt(var + eps)
        return torch.addcmul(gradient - mean, normal, slope, value=-1).mul_(scale[:, None, None]), None


class LeakyReLU(nn.Module):
    """`max(x, slope * x)`, in place, for discriminators under a gradient penalty.

    Values and derivatives are those of `nn.LeakyReLU`, whose second derivative autograd takes for a tensor of zeros
    and sends back through all layers below. Here it is no tensor at all: a third of the penalty's backward is saved.
    """

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out: Tensor = _LeakyReLU.apply(x, self.slope)
        return out


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        F.leaky_relu_(x, slope)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        ctx.slope = slope
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, None]:
        if gradient is None:
            return None, None
        (out,) = ctx.saved_tensors  # of the sign of its input
        return torch.ops.aten.leaky_relu_backward(gradient, out.detach(), ctx.slope, True), None
