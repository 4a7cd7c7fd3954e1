"""Parts that GANs share: batch normalisation over all ranks, a leaky ReLU for penalties, upsampling.

Ioffe and Szegedy 2015, "Batch Normalization", Algorithm 1; Tao et al. 2022, "DF-GAN", section 3.2 (the penalty).
"""

from collections.abc import Iterator
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
        # torch's kernel for channels-last tensors on a CPU is exact enough for half precision alone, see `_Normalise`.
        native = input.is_cuda or input.is_contiguous() or input.dtype in (torch.bfloat16, torch.float16)
        if not self.training or (native and world_size() == 1):
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

    torch's own kernel for channels-last tensors on CPU adds up a channel value by value in float32: at 256 pixels its
    statistics are off by 1e-5 and gradients that pass many layers by 1e-2. `sum` adds in pairs. Each pass over large
    features costs as much as a small convolution, so the work is done in pieces that fit the processor's cache.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        exact = torch.promote_types(x.dtype, torch.float32)
        own = x.new_full((1,), x.numel() // x.shape[1], dtype=exact)
        # One message: the sums, and behind them the count.
        sums = sum_over_ranks(torch.cat([x.sum((0, 2, 3), dtype=exact), own]))
        count = sums[-1]
        mean = sums[:-1] / count
        squares = [(piece - mean[:, None, None]).square_().sum((0, 2, 3)) for (piece,) in _pieces(x)]
        var = sum_over_ranks(torch.stack(squares).sum(0)) / count
        deviation = torch.sqrt(var + eps)
        scale = 1 / deviation if weight is None else weight / deviation
        shift = -mean * scale if bias is None else bias - mean * scale
        out = torch.addcmul(shift[:, None, None].to(x.dtype), x, scale[:, None, None].to(x.dtype))
        ctx.save_for_backward(x, mean, deviation, scale, count)
        ctx.affine = weight is not None
        ctx.mark_non_differentiable(mean, var, count)
        return out, mean, var, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, mean, deviation, scale, count = ctx.saved_tensors
        by_bias = gradient.sum((0, 2, 3), dtype=mean.dtype)
        products = [(part - mean[:, None, None]).mul_(upper).sum((0, 2, 3)) for part, upper in _pieces(x, gradient)]
        by_weight = torch.stack(products).sum(0) / deviation
        # d loss / d x = (gradient - mean(gradient) - normal * mean(gradient * normal)) * scale,
        # normal being (x - mean) / deviation: a sum of gradient, x and 1, each times one number per channel.
        mean_gradient, mean_product = sum_over_ranks(torch.stack([by_bias, by_weight])) / count
        of_x = -scale * mean_product / deviation
        constant = -scale * mean_gradient - of_x * mean
        of_gradient, of_x, constant = (a[:, None, None].to(x.dtype) for a in (scale, of_x, constant))
        by_x = torch.empty_like(x)
        for part, upper, out in _pieces(x, gradient, by_x):
            torch.addcmul(constant, part, of_x, out=out).addcmul_(upper, of_gradient)
        return (by_x, by_weight, by_bias, None) if ctx.affine else (by_x, None, None, None)


PIECE = 2**18  # values: a megabyte


def _pieces(first: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same samples and rows of every tensor; those of the first have at most about `PIECE` values.

    A GPU has no such cache, and would be called once for each piece: there the tensors are one piece.
    """
    if first.is_cuda:
        yield (first, *others)
        return
    _, channels, height, width = first.shape
    samples = max(1, PIECE // (channels * height * width))
    rows = max(1, PIECE // (channels * width)) if samples == 1 else height
    for some in zip(*(torch.split(x, samples) for x in (first, *others)), strict=True):
        yield from zip(*(torch.split(x, rows, dim=2) for x in some), strict=True)


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` for layers with many weights on few pixels, as discriminators end in; see `convolved`."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d _h _w"]:
        return convolved(self, input, self.weight)


def convolved(
    layer: nn.Conv2d, x: Float[Tensor, "b c h w"], weight: Float[Tensor, "d c i j"]
) -> Float[Tensor, "b d _h _w"]:
    """The layer's output for `x` with this weight; where few pixels meet many weights, on a CPU, by matrices.

    The convolution there spends most of its time on bringing its weights into another order.
    """
    stride, padding, kernel = layer.stride, cast(tuple[int, ...], layer.padding), weight.shape[2:]
    size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, kernel, stride, strict=True)]
    num_pixels = len(x) * size[0] * size[1]
    if x.is_cuda or num_pixels > MOST_PIXELS or weight.numel() < FEWEST_WEIGHTS:
        return F.conv2d(x, weight, layer.bias, stride, padding)
    windows = F.unfold(x, kernel, padding=padding, stride=stride)  # [b (c i j) p]
    out = weight.flatten(1) @ windows.transpose(0, 1).flatten(1)  # [d (b p)]
    out = out.view(len(weight), len(x), *size).transpose(0, 1).contiguous()
    return out if layer.bias is None else out + layer.bias[:, None, None]


MOST_PIXELS, FEWEST_WEIGHTS = 128, 2**22
"""Bounds within which `convolved` multiplies matrices. Measured: half the time at 64 pixels and 2^25 weights; at 256
pixels none is saved."""


class SpectralConv2d(nn.Conv2d):
    """A convolution by `weight / sigma`, sigma being the estimate of the weight matrix's largest singular value.

        v = normalize(W^T u)        u = normalize(W v)        sigma = u^T W v

    One power iteration a forward in training, v first; u and v are constants in the gradient. In a state dict of the
    reference code `X.module.weight_bar`, `.module.weight_u`, `.module.weight_v` and `.module.bias` are our `X.weight`,
    `.weight_u`, `.weight_v` and `.bias`.

    Differs from the reference code, which iterates in evaluation too; torch's parametrisation iterates u first.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, num_in: int, num_out: int, kernel_size: int, *, stride: int, padding: int) -> None:
        super().__init__(num_in, num_out, kernel_size, stride=stride, padding=padding)
        self.register_buffer("weight_u", F.normalize(torch.randn(num_out), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(self.weight[0].numel()), dim=0))

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        weight = self.weight / self.sigma()
        return convolved(self, input, weight)

    def sigma(self) -> Float[Tensor, ""]:
        """The estimate of the largest singular value; in training it improves with every call."""
        matrix, u, v = self.weight.flatten(1), self.weight_u, self.weight_v
        if self.training:
            with torch.no_grad():
                v = F.normalize(matrix.T @ u, dim=0)
                u = F.normalize(matrix @ v, dim=0)
                # Copies: the backward pass of an earlier forward still needs its own u and v.
                self.weight_u.copy_(u)
                self.weight_v.copy_(v)
        return u @ (matrix @ v)


class UpsampledConv2d(nn.Conv2d):
    """A 3 x 3 convolution, padded by 1, of its input repeated to twice the pixels; see `doubled_and_convolved`."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__(num_in, num_out, 3, padding=1, bias=False)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        return doubled_and_convolved(self, input)


def doubled_and_convolved(layer: nn.Conv2d, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
    """`layer(F.interpolate(x, scale_factor=2, mode="nearest"))` of a 3 x 3 convolution that is padded by 1.

        out[2i - 1 + a] = sum_i x[i] k[a],   k = (w2, w1 + w2, w0 + w1, w0)        along either axis

    Each window of the repeated input sees 2 x 2 pixels, so on a CPU it is a transposed convolution whose kernel holds
    sums of the weights: 16 products per pixel instead of 36, and no repeated input.
    """
    if x.is_cuda or x.shape[2] * x.shape[3] < FEWEST_PIXELS:
        return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    # The sum of 2 x 2 as four means: torch's ONNX exporter ignores `divisor_override`.
    sums = 4 * F.avg_pool2d(F.pad(layer.weight, (1, 1, 1, 1)), 2, stride=1)
    return F.conv_transpose2d(x, sums.flip(2, 3).transpose(0, 1), layer.bias, stride=2, padding=1)


FEWEST_PIXELS = 32 * 32
"""Pixels from which on `doubled_and_convolved` transposes. Measured: 0.6 of the time there, twice the time at 8 x 8."""


class GLU(nn.Module):
    """`nn.GLU(1)`: the first half of the channels times the sigmoid of the second. First derivatives only.

    torch's gradient of channels-last features is not channels-last, which slows every layer below.
    """

    def forward(self, x: Float[Tensor, "b two_c *s"]) -> Float[Tensor, "b c *s"]:
        out: Tensor = _GLU.apply(x)
        return out


class _GLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.glu(x, dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if x.dim() == 2 or x.is_cuda:
            return torch.ops.aten.glu_backward(gradient, x, 1)  # type: ignore[no-any-return]
        by_x = torch.empty_like(x)
        for part, upper, out in _pieces(x, gradient, by_x):
            value, gate = part.chunk(2, dim=1)
            by_value, by_gate = out.chunk(2, dim=1)
            open_gate = gate.sigmoid()
            torch.mul(upper, open_gate, out=by_value)
            torch.ops.aten.sigmoid_backward(upper * value, open_gate, grad_input=by_gate)
        return by_x


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
