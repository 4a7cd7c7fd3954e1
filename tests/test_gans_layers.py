"""Shared layers: batch normalisation against torch's and over ranks, the leaky ReLU, upsampling."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ranks import run_on_ranks
from sclgan.distributed import average_gradients, own_rows, rank
from sclgan.gans.layers import (
    GLU,
    Conv2d,
    GlobalBatchNorm1d,
    GlobalBatchNorm2d,
    LeakyReLU,
    UpsampledConv2d,
    doubled_and_convolved,
)


def batch(channels: int = 3) -> Tensor:
    return torch.randn(4, channels, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 5


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_process_is_torch(affine: bool, layout: torch.memory_format) -> None:
    ours = GlobalBatchNorm2d(3, affine=affine, dtype=torch.float64)
    theirs = nn.BatchNorm2d(3, affine=affine, dtype=torch.float64)
    if affine:
        nn.init.uniform_(ours.weight)
        nn.init.uniform_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    results = []
    for layer in (ours, theirs):
        x = batch().contiguous(memory_format=layout).requires_grad_()
        for _ in range(2):
            out = layer(x)
        (out**3).sum().backward()
        gradients = [x.grad, *(p.grad for p in layer.parameters())]
        results.append([out.detach(), *gradients, *layer.state_dict().values(), layer.eval()(x).detach()])
    torch.testing.assert_close(results[0], results[1])


def test_gradient_of_batch_normalisation() -> None:
    layer = GlobalBatchNorm2d(2, track_running_stats=False, dtype=torch.float64)
    assert torch.autograd.gradcheck(layer, batch(channels=2)[:2].requires_grad_())


def test_statistics_of_large_channels_last_images_are_precise() -> None:
    x = (torch.randn(1, 4, 512, 512, generator=torch.Generator().manual_seed(0)) + 1).to(
        memory_format=torch.channels_last
    )
    expected = (x.double() - x.double().mean((2, 3), keepdim=True)) / x.double().std((2, 3), keepdim=True)
    assert (GlobalBatchNorm2d(4, affine=False)(x) - expected).abs().max() < 2e-5


def vectors(rows: slice) -> tuple[Tensor, list[Tensor]]:
    """(Own output), (parameter gradients averaged over ranks, state) of normalised rows."""
    layer = GlobalBatchNorm1d(3, dtype=torch.float64)
    x = batch()[rows, :, 0, 0].clone().requires_grad_()
    out = layer(x)
    (out**3).sum().backward()
    average_gradients(layer.parameters())
    assert x.grad is not None
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return torch.cat([out.detach(), x.grad], dim=1), [*gradients, *layer.state_dict().values()]


def vectors_of_ranks() -> tuple[Tensor, list[Tensor]]:
    return vectors(slice(0, 3) if rank() == 0 else slice(3, 4))


def test_ranks_may_have_different_numbers_of_rows() -> None:
    out, (weight, bias, *state) = vectors(slice(None))
    first, second = run_on_ranks(vectors_of_ranks, 2)
    torch.testing.assert_close(torch.cat([first[0], second[0]]), out)
    for found in (first[1], second[1]):
        torch.testing.assert_close(found, [weight / 2, bias / 2, *state])


def test_vectors_in_one_process_are_torchs() -> None:
    x = batch()[:, :, 0, 0]
    ours, theirs = GlobalBatchNorm1d(3, dtype=torch.float64), nn.BatchNorm1d(3, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def normalised() -> tuple[list[Tensor], list[Tensor]]:
    """(Own output and input gradient), (parameter gradients averaged over ranks, state)."""
    layer = GlobalBatchNorm2d(3, dtype=torch.float64)
    x = batch()[own_rows(4)].clone().requires_grad_()
    weight = torch.arange(4.0)[own_rows(4), None, None, None]
    out = layer(x)
    (weight * out**3).mean().backward()
    average_gradients(layer.parameters())
    assert x.grad is not None
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return [out.detach(), x.grad], [*gradients, *layer.state_dict().values()]


def test_two_ranks_are_one_process() -> None:
    (out, gradient), shared = normalised()
    first, second = run_on_ranks(normalised, 2)
    torch.testing.assert_close(torch.cat([first[0][0], second[0][0]]), out)
    torch.testing.assert_close(torch.cat([first[0][1], second[0][1]]) / 2, gradient)
    torch.testing.assert_close(first[1], shared)
    torch.testing.assert_close(second[1], shared)


def test_leaky_relu_is_torch_to_the_second_derivative() -> None:
    results = []
    for activation in (LeakyReLU(0.2), nn.LeakyReLU(0.2)):
        x = batch().sub(5).requires_grad_()
        weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
        out = weight * activation(weight * x)
        (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        results.append([out.detach(), gradient.detach(), x.grad, weight.grad])
    torch.testing.assert_close(results[0], results[1])


def output_and_gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    out = layer(x)
    gradients = torch.autograd.grad((out**2).sum(), [x, *layer.parameters()])
    return [out.detach(), *gradients]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 700, 300)])
def test_gated_linear_unit_is_torch(layout: torch.memory_format, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    torch.testing.assert_close(output_and_gradients(GLU(), x), output_and_gradients(nn.GLU(1), x))


def test_normalisation_in_pieces_is_torch() -> None:
    x = torch.randn(3, 2, 700, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x * 3 + 1).to(memory_format=torch.channels_last)
    ours, theirs = (layer(2, dtype=torch.float64) for layer in (GlobalBatchNorm2d, nn.BatchNorm2d))
    torch.testing.assert_close(output_and_gradients(ours, x), output_and_gradients(theirs, x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [8, 33])  # below and above FEWEST_PIXELS
@pytest.mark.parametrize("bias", [False, True])
def test_upsampled_convolution_is_both_in_turn(layout: torch.memory_format, size: int, bias: bool) -> None:
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=bias, dtype=torch.float64).to(memory_format=layout)
    both = nn.Sequential(nn.Upsample(scale_factor=2), convolution)
    x = torch.randn(2, 3, size, size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    results = []
    for out in (doubled_and_convolved(convolution, x), both(x)):
        results.append([out, *torch.autograd.grad((out**2).sum(), [x, *convolution.parameters()])])
    torch.testing.assert_close(*results)
    if not bias:
        ours = UpsampledConv2d(3, 4).double()
        ours.load_state_dict(convolution.state_dict())
        torch.testing.assert_close(ours(x), results[1][0])


@pytest.mark.parametrize(("kernel_size", "stride", "bias"), [(4, 2, False), (3, 1, True)])
def test_convolution_with_many_weights_is_torch(
    kernel_size: int, stride: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sclgan.gans.layers.FEWEST_WEIGHTS", 1)  # so that a small one counts as large
    arguments: dict[str, Any] = {"stride": stride, "padding": 1, "bias": bias, "dtype": torch.float64}
    ours, theirs = Conv2d(5, 6, kernel_size, **arguments), nn.Conv2d(5, 6, kernel_size, **arguments)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(output_and_gradients(ours, x), output_and_gradients(theirs, x))


def test_upsampled_convolution_sums_by_what_onnx_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's exporter drops the divisor of a pooling: with one, exported generators draw other pictures."""
    pooling = torch.nn.functional.avg_pool2d
    monkeypatch.setattr("torch.nn.functional.avg_pool2d", lambda x, size, stride: pooling(x, size, stride))
    convolution, x = UpsampledConv2d(3, 4), torch.randn(1, 3, 33, 33)
    torch.testing.assert_close(convolution(x), nn.Conv2d.forward(convolution, nn.Upsample(scale_factor=2)(x)))
