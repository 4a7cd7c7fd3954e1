"""AttnGAN: stages that double the resolution, each pixel of the later ones attending to the words; a D per stage.

Xu et al. 2018, "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks"
(CVPR), section 3.1.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sclgan.gans.layers import Conv2d, GlobalBatchNorm2d
from sclgan.gans.stacked import MaskOrder, ResidualBlock, attend, up_block
from sclgan.gans.stacked_gan import StackedGAN


class AttnGAN(StackedGAN):
    """AttnGAN (Xu et al. 2018): pixels attend to words, D is normalised over the batch; see `StackedGAN`.

    The paper has ngf 32 and ndf 64 on CUB, 48 and 96 on COCO.
    """

    def later_stage(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> nn.Module:
        """Attention over the words (section 3.1)."""
        return AttentionStage(ngf, text_dim=text_dim, num_residual_blocks=num_residual_blocks, mask_order=mask_order)

    def first_layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """Convolution and activation."""
        return pixel_layer(num_in, num_out, kernel_size)

    def layer(self, num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
        """Convolution, batch normalisation, activation."""
        return discriminator_layer(num_in, num_out, kernel_size)


class AttentionStage(nn.Module):
    """A later stage: pixels read words, and the features grow (F_i and F_i^attn, Eqs. 1-2).

    context_p = sum_t softmax_t( h_p . (U e)_t ) (U e)_t           U e: `conv_context` of the words
    out = up_block( residual( [h ; context] ) )
    """

    def __init__(self, ngf: int, *, text_dim: int, num_residual_blocks: int, mask_order: MaskOrder) -> None:
        super().__init__()
        self.mask_order = mask_order
        self.att = nn.ModuleDict({"conv_context": nn.Conv2d(text_dim, ngf, 1, bias=False)})
        self.residual = nn.Sequential(*(ResidualBlock(2 * ngf) for _ in range(num_residual_blocks)))
        self.upsample = up_block(2 * ngf, ngf)

    def forward(
        self, h: Float[Tensor, "b g h w"], words: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b g h2 w2"], Float[Tensor, "b t h w"]]:
        keys = self.att["conv_context"](words[:, :, :, None])[:, :, :, 0]  # [b g t]
        context, attention = attend(h, keys, keys, mask, self.mask_order)
        return self.upsample(self.residual(torch.cat([h, context], dim=1))), attention


def pixel_layer(num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
    """Convolution, leaky ReLU: D's first layer."""
    convolution = Conv2d(num_in, num_out, kernel_size, stride=kernel_size - 2, padding=1, bias=False)
    return [convolution, nn.LeakyReLU(0.2, inplace=True)]


def discriminator_layer(num_in: int, num_out: int, kernel_size: int) -> list[nn.Module]:
    """Convolution, batch normalisation, leaky ReLU; see `stacked_discriminators.Layer`."""
    convolution, activation = pixel_layer(num_in, num_out, kernel_size)
    return [convolution, GlobalBatchNorm2d(num_out), activation]
