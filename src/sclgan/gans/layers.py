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

    In one process it is `nn.BatchNorm2d`; with ranks, every rank passes the same shape and gets the output, the
    running statistics and, after averaging gradients, the gradients of one process with the whole batch. State dicts
    are those of `nn.BatchNorm2d`. First derivatives only.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not self.training or (input.is_cuda and world_size() == 1):
            return super().forward(input)
        normal, mean, var = _Normalise.apply(input, self.eps)
        self._track(mean, var, world_size() * input.numel() // input.shape[1])
        return torch.addcmul(self.bias[:, None, None], normal, self.weight[:, None, None]) if self.affine else normal

    def _track(self, mean: Float[Tensor, " c"], var: Float[Tensor, " c"], count: int) -> None:
        """Moves the running statistics as `nn.BatchNorm2d` does, with the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * (count / max(1, count - 1)), momentum)


class _Normalise(torch.autograd.Function):
    """`(x - mean) / sqrt(var + eps)`, with mean and var.

    torch's own kernel for channels-last tensors on CPU adds up a channel one by one in float32: at 256 pixels its
    statistics are off by 1e-5 and gradients that pass many layers by 1e-2. `sum` adds in pairs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        count = world_size() * x.numel() / x.shape[1]
        mean = sum_over_ranks(x.sum((0, 2, 3))) / count
        normal = x - mean[:, None, None]
        var = sum_over_ranks(normal.square().sum((0, 2, 3))) / count
        scale = torch.rsqrt(var + eps)
        normal *= scale[:, None, None]
        ctx.save_for_backward(normal, scale)
        ctx.mark_non_differentiable(mean, var)
        return normal, mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, None]:
        normal, scale = ctx.saved_tensors
        count = world_size() * gradient.numel() / gradient.shape[1]
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
