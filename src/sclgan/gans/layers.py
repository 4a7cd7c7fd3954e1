"""Parts that GANs share: batch normalisation over all ranks, a leaky ReLU for penalties, upsampling.

Ioffe and Szegedy 2015, "Batch Normalization", Algorithm 1; Tao et al. 2022, "DF-GAN", section 3.2 (the penalty).
"""

from typing import Any, cast

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
    out, mean, var, count = _Normalise.apply(input, layer.weight, layer.bias, layer.eps)
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        layer.running_mean.lerp_(mean, momentum)
        layer.running_var.lerp_(var * (count / (count - 1).clamp(min=1)), momentum)
    return cast(Tensor, out)


class _Normalise(torch.autograd.Function):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, with mean, var and the number of values that they are of.

    torch's own kernel for channels-last tensors on CPU adds up a channel one by one in float32: at 256 pixels its
    statistics are off by 1e-5 and gradients that pass many layers by 1e-2. `sum` adds in pairs. Scale and shift are
    part of it because their gradients are sums that the gradient of x needs anyway, and each pass over the features
    costs as much as a small convolution.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = x.new_full((1,), x.numel() // x.shape[1])
        # One message: the sums, and behind them the count.
        sums = sum_over_ranks(torch.cat([x.sum((0, 2, 3)), own]))
        count = sums[-1]
        mean = sums[:-1] / count
        normal = x - mean[:, None, None]
        var = sum_over_ranks(normal.square().sum((0, 2, 3))) / count
        scale = torch.rsqrt(var + eps)
        normal *= scale[:, None, None]
        ctx.save_for_backward(normal, scale, count, weight)
        ctx.mark_non_differentiable(mean, var, count)
        if weight is None or bias is None:
            return normal, mean, var, count
        return torch.addcmul(bias[:, None, None], normal, weight[:, None, None]), mean, var, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        normal, scale, count, weight = ctx.saved_tensors
        by_bias, by_weight = sums = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        if weight is not None:
            scale = scale * weight
        # d loss / d x = (gradient - mean(gradient) - normal * mean(gradient * normal)) / sqrt(var + eps) * weight
        mean, slope = (sum_over_ranks(sums) / count * scale)[:, :, None, None]
        by_x = torch.addcmul(-mean, normal, slope, value=-1).addcmul_(gradient, scale[:, None, None])
        return (by_x, None, None, None) if weight is None else (by_x, by_weight, by_bias, None)


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


def doubled_and_convolved(x: Float[Tensor, "b c h w"], layer: nn.Conv2d) -> Float[Tensor, "b k h2 w2"]:
    """`layer(F.interpolate(x, scale_factor=2, mode="nearest"))` of a 3 x 3 convolution with padding 1, for 4/9 of it.

        out[2i - 1 + a] = sum_i x[i] k[a],   k = (w2, w1 + w2, w0 + w1, w0)        along either axis

    Each pixel of the doubled map meets its four copies with at most two of a kernel's rows and columns, so that a
    transposed convolution with 4 x 4 sums of the kernel computes the same from the small map.
    """
    sums = layer.weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    num_out, num_in = layer.weight.shape[:2]
    flat = layer.weight.transpose(0, 1).reshape(num_in * num_out, 9)
    kernel = (flat @ torch.kron(sums, sums).T).view(num_in, num_out, 4, 4)
    return F.conv_transpose2d(x, kernel, layer.bias, stride=2, padding=1)
