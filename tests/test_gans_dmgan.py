"""DM-GAN: the paper's numbers of parameters, the spectral norm. What it shares is in `test_gans_stacked.py`."""

from typing import Any

import torch
from torch import nn

from reference import PoolingStub
from sclgan.encoders.damsm import DAMSM
from sclgan.gans.dmgan import DMGAN, MemoryStage
from sclgan.gans.layers import SpectralConv2d


def num_parameters(**keywords: Any) -> list[int]:
    with torch.device("meta"):
        gan = DMGAN(DAMSM(20, PoolingStub), **keywords)
    return [sum(p.numel() for p in module.parameters()) for module in (gan.generator, *gan.discriminator)]


def test_full_width_has_the_papers_number_of_parameters() -> None:
    assert num_parameters(ngf=64, ndf=32) == [21_449_042, 1_878_242, 5_155_810, 18_264_546]  # birds
    assert num_parameters(ngf=64, ndf=32, num_residual_blocks=3)[0] == 22_335_314  # COCO


def convolution() -> SpectralConv2d:
    torch.manual_seed(0)
    return SpectralConv2d(3, 5, 4, stride=2, padding=1).double()


def test_spectral_norm_is_torchs_hook() -> None:
    ours = convolution()
    theirs = nn.utils.spectral_norm(nn.Conv2d(3, 5, 4, stride=2, padding=1).double(), eps=1e-12)
    theirs.load_state_dict(
        {
            "bias": ours.bias,
            "weight_orig": ours.weight,
            "weight_u": ours.weight_u,
            "weight_v": ours.weight_v,
        }
    )
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for _ in range(2):  # two forwards before the backward, as in a step of D
        outs = [layer(x) for layer in (ours, theirs)]
        torch.testing.assert_close(outs[0], outs[1])
        (outs[0] ** 2).sum().backward()
        (outs[1] ** 2).sum().backward()
        torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad)
        torch.testing.assert_close(ours.state_dict()["weight_u"], theirs.state_dict()["weight_u"])
        torch.testing.assert_close(ours.state_dict()["weight_v"], theirs.state_dict()["weight_v"])


def test_spectral_norm_converges_in_training_and_rests_in_evaluation() -> None:
    layer = convolution()
    for _ in range(200):
        layer.sigma()
    torch.testing.assert_close(layer.sigma(), torch.linalg.matrix_norm(layer.weight.flatten(1), 2))
    layer.eval()
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight))
    before = layer.weight_u.clone()
    layer.sigma()
    assert torch.equal(layer.weight_u, before)


def test_two_forwards_before_one_backward() -> None:
    """The second moves u and v; the gradient of the first still has its own."""
    layer, alone = convolution(), convolution()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    first, _ = layer(x), layer(2 * x)
    (first**2).sum().backward()
    (alone(x) ** 2).sum().backward()
    torch.testing.assert_close(layer.weight.grad, alone.weight.grad)


def test_memory_is_the_papers_equations() -> None:
    torch.manual_seed(0)
    stage = MemoryStage(3, text_dim=4, num_residual_blocks=1, mask_order="own")
    mean, words = torch.randn(2, 3), torch.randn(2, 4, 5)
    memory = stage.write(mean, words)
    for row in range(2):
        for t in range(5):
            word = words[row, :, t]
            gate = torch.sigmoid(stage.A(word) + stage.B(mean[row]))
            from_word, from_image = stage.M_w(word[:, None])[:, 0], stage.M_r(mean[row][:, None])[:, 0]
            torch.testing.assert_close(memory[row, :, t], from_word * gate + from_image * (1 - gate))
