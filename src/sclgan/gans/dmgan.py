"""DM-GAN: as AttnGAN, but later stages read a memory that is written from words and image; spectral norm in D.

Zhu et al. 2019, "DM-GAN: Dynamic Memory Generative Adversarial Networks for Text-to-Image Synthesis" (CVPR), section 3;
Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks" (ICLR), Algorithm 1.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sclgan.gans.layers import SpectralConv2d
from sclgan.gans.stacked import MaskOrder, ResidualBlock, attend, up_block
from sclgan.gans.stacked_gan import StackedGAN


class DMGAN(StackedGAN):
    """DM-GAN (Zhu et al. 2019): pixels read a memory, D has spectral norm; see `StackedGAN`.

    The paper has ngf 64 and ndf 32 on CUB and COCO.
    """

    def later_stage(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> nn.Module:
        """A memory of the words (sections 3.1-3.3)."""
        return MemoryStage(ngf, text_dim=text_dim, num_residual_blocks=num_residual_blocks, mask_order=mask_order)

    def first_layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """The same as the other layers."""
        return discriminator_layer(num_in, num_out, kernel_size)

    def layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """Convolution with spectral norm, activation."""
        return discriminator_layer(num_in, num_out, kernel_size)


class MemoryStage(nn.Module):
    """A later stage: each word writes a slot of a memory, pixels read it, a gate fuses the result (sections 3.1-3.3).

        mean = average over pixels of h
        write_t = sigmoid( A w_t + B mean )
        m_t = relu( M_w w_t ) write_t + relu( M_r mean ) (1 - write_t)
        o_p = sum_t softmax_t( h_p . key(m)_t ) value(m)_t
        r_p = sigmoid( response_gate([h_p ; o_p]) )
        h'_p = r_p o_p + (1 - r_p) h_p
        out = up_block( residual( [h' ; h'] ) )

    Reference quirks: no gradient flows through `mean`; h' is concatenated with itself, where AttnGAN has features and
    context. Kept for released weights.

    Differs from the paper: M_w and M_r, key and value end in ReLUs, as in its code.
    """

    def __init__(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> None:
        super().__init__()
        self.mask_order = mask_order
        self.A = nn.Linear(text_dim, 1, bias=False)
        self.B = nn.Linear(ngf, 1, bias=False)
        self.M_w = nn.Sequential(nn.Conv1d(text_dim, 2 * ngf, 1), nn.ReLU())
        self.M_r = nn.Sequential(nn.Conv1d(ngf, 2 * ngf, 1), nn.ReLU())
        self.key = nn.Sequential(nn.Conv1d(2 * ngf, ngf, 1), nn.ReLU())
        self.value = nn.Sequential(nn.Conv1d(2 * ngf, ngf, 1), nn.ReLU())
        self.response_gate = nn.Sequential(nn.Conv2d(2 * ngf, 1, 1), nn.Sigmoid())
        self.residual = nn.Sequential(*(ResidualBlock(2 * ngf) for _ in range(num_residual_blocks)))
        self.upsample = up_block(2 * ngf, ngf)

    def forward(
        self, h: Float[Tensor, "b g h w"], words: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b g h2 w2"], Float[Tensor, "b t h w"]]:
        memory = self.write(h.mean((2, 3)).detach(), words)
        read, attention = attend(h, self.key(memory), self.value(memory), mask, self.mask_order)
        h = torch.lerp(h, read, self.response_gate(torch.cat([h, read], dim=1)))
        return self.upsample(self.residual(torch.cat([h, h], dim=1))), attention

    def write(self, mean: Float[Tensor, "b g"], words: Float[Tensor, "b d t"]) -> Float[Tensor, "b m t"]:
        """The memory, a slot per word."""
        gate = torch.sigmoid(self.A(words.transpose(1, 2)) + self.B(mean)[:, None]).transpose(1, 2)  # [b 1 t]
        return torch.lerp(self.M_r(mean[:, :, None]), self.M_w(words), gate)


def discriminator_layer(num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
    """Convolution with spectral norm and bias, leaky ReLU; see `stacked_discriminators.Layer`."""
    convolution = SpectralConv2d(num_in, num_out, kernel_size, stride=kernel_size - 2, padding=1)
    return [convolution, nn.LeakyReLU(0.2, inplace=True)]
