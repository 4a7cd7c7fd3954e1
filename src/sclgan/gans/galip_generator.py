"""GALIP's generator: noise and sentence to a map of CLIP's grid, through the frozen CLIP, to an image.

Tao et al. 2023, "GALIP: Generative Adversarial CLIPs for Text-to-Image Synthesis" (CVPR), section 3.2. Parameter names
are those of the paper's code.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.gans.layers import doubled_and_convolved

Bridge = Callable[[Tensor, Tensor], Tensor]
"""Features [b c r r] and prompts [b k c] to features [b c r r], through the frozen CLIP."""


class Generator(nn.Module):
    """Noise and sentence to an image, by way of a frozen CLIP that the caller passes in.

    A map of CLIP's grid is bridged to its concepts (`Mapper`), then blocks draw: the first at the smallest power of two
    that holds the grid, each one after it at twice the size, the last at `image_size`; widths are at most 8 nf and end
    with nf. With CLIP's 7 x 7 and 224 pixels that is the paper's 8 16 32 64 128 224 with 8 8 8 4 2 1 nf.

    Raises:
        ValueError: `image_size` is not above the first block's.
    """

    def __init__(
        self,
        *,
        image_size: int,
        nf: int,
        z_dim: int,
        text_dim: int,
        clip_width: int,
        grid_size: int,
        code_channels: int,
        mid_channels: int,
        num_prompts: int,
    ) -> None:
        super().__init__()
        sizes = [1 << (grid_size - 1).bit_length()]
        if image_size <= sizes[0]:
            raise ValueError(f"image_size must be above {sizes[0]}, which CLIP's grid of {grid_size} begins with")
        while sizes[-1] < image_size:
            sizes.append(min(2 * sizes[-1], image_size))
        widths = [nf * min(8, 2 ** (len(sizes) - i)) for i in range(len(sizes) + 1)]
        condition_dim = z_dim + text_dim
        self.code_shape = (code_channels, grid_size, grid_size)
        self.fc_code = nn.Linear(z_dim, code_channels * grid_size**2)
        self.mapping = Mapper(
            condition_dim=condition_dim,
            clip_width=clip_width,
            code_channels=code_channels,
            mid_channels=mid_channels,
            num_out=widths[0],
            num_prompts=num_prompts,
        )
        self.GBlocks = nn.ModuleList(
            GeneratorBlock(widths[i], widths[i + 1], condition_dim=condition_dim, size=size)
            for i, size in enumerate(sizes)
        )
        self.to_rgb = nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(widths[-1], 3, 3, padding=1))

    def forward(
        self, z: Float[Tensor, "b z"], sentence: Float[Tensor, "b d"], bridge: Bridge
    ) -> Float[Tensor, "b 3 h w"]:
        condition = torch.cat([z, sentence], dim=1)
        x = self.mapping(self.fc_code(z).unflatten(1, self.code_shape), condition, bridge)
        for block in self.GBlocks:
            x = block(x, condition)
        out: Tensor = self.to_rgb(x)
        return out


class Mapper(nn.Module):
    """The bridge into CLIP's vision transformer and out of it (section 3.2, "CLIP-empowered generator").

    h = FBlocks(code)        features = conv_fuse(h)
    out = conv( features + 0.1 * bridge(features, prompts(z, s)) )
    """

    def __init__(
        self,
        *,
        condition_dim: int,
        clip_width: int,
        code_channels: int,
        mid_channels: int,
        num_out: int,
        num_prompts: int,
        num_blocks: int = 4,
    ) -> None:
        super().__init__()
        self.FBlocks = nn.ModuleList(
            FusionBlock(code_channels, mid_channels, condition_dim=condition_dim) for _ in range(num_blocks)
        )
        self.conv_fuse = nn.Conv2d(code_channels, clip_width, 5, padding=2)
        self.conv = nn.Conv2d(clip_width, num_out, 5, padding=2)
        self.fc_prompt = nn.Linear(condition_dim, clip_width * num_prompts)
        self.num_prompts = num_prompts

    def forward(
        self, code: Float[Tensor, "b k r r"], condition: Float[Tensor, "b e"], bridge: Bridge
    ) -> Float[Tensor, "b c r r"]:
        for block in self.FBlocks:
            code = block(code, condition)
        features = self.conv_fuse(code)
        prompts = self.fc_prompt(condition).unflatten(1, (self.num_prompts, -1))
        out: Tensor = self.conv(torch.add(features, bridge(features, prompts), alpha=0.1))
        return out


class FusionBlock(nn.Module):
    """A residual block at the code's size: `x + fuse2( conv2( fuse1( conv1(x) ) ) )`."""

    def __init__(self, num_channels: int, mid_channels: int, *, condition_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_channels, mid_channels, 3, padding=1)
        self.fuse1 = DeepFusion(mid_channels, condition_dim)
        self.conv2 = nn.Conv2d(mid_channels, num_channels, 3, padding=1)
        self.fuse2 = DeepFusion(num_channels, condition_dim)

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        h = self.fuse1(self.conv1(x), condition)
        out: Tensor = x + self.fuse2(self.conv2(h), condition)
        return out


class GeneratorBlock(nn.Module):
    """Upsampling to `size`, two convolutions with text fused before each, a shortcut.

        x = nearest resize of x
        out = shortcut(x) + c2( fuse2( c1( fuse1(x) ) ) )

    What works on every pixel by itself is done before the resize, with which it commutes, at a quarter of the cost.
    """

    def __init__(self, num_in: int, num_out: int, *, condition_dim: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.fuse1 = DeepFusion(num_in, condition_dim)
        self.fuse2 = DeepFusion(num_out, condition_dim)
        self.c1 = nn.Conv2d(num_in, num_out, 3, padding=1)
        self.c2 = nn.Conv2d(num_out, num_out, 3, padding=1)
        self.c_sc = nn.Conv2d(num_in, num_out, 1) if num_in != num_out else None

    def forward(self, x: Float[Tensor, "b c _h _w"], condition: Float[Tensor, "b e"]) -> Float[Tensor, "b k h w"]:
        h = self.fuse1(x, condition)
        doubles = self.size == 2 * x.shape[2]
        h = doubled_and_convolved(self.c1, h) if doubles else self.c1(self._resized(h))
        h = self.c2(self.fuse2(h, condition))
        out: Tensor = h.add_(self._resized(x if self.c_sc is None else self.c_sc(x)))
        return out

    def _resized(self, x: Tensor) -> Tensor:
        return x if x.shape[2] == self.size else F.interpolate(x, (self.size, self.size), mode="nearest")


class DeepFusion(nn.Module):
    """DF-GAN's fusion: twice an affine modulation by noise and sentence, each with a leaky ReLU."""

    def __init__(self, num_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.affine0 = Affine(num_channels, condition_dim)
        self.affine1 = Affine(num_channels, condition_dim)

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        x = F.leaky_relu_(self.affine0(x, condition), 0.2)
        return F.leaky_relu_(self.affine1(x, condition), 0.2)


class Affine(nn.Module):
    """`fc_gamma(condition) * x + fc_beta(condition)`, channel by channel; at the start it leaves x as it is."""

    def __init__(self, num_channels: int, condition_dim: int) -> None:
        super().__init__()
        self.fc_gamma = condition_mlp(condition_dim, num_channels, start=1.0)
        self.fc_beta = condition_mlp(condition_dim, num_channels, start=0.0)

    def forward(self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        gamma, beta = self.fc_gamma(condition)[:, :, None, None], self.fc_beta(condition)[:, :, None, None]
        return torch.addcmul(beta, gamma, x)


def condition_mlp(condition_dim: int, num_channels: int, *, start: float) -> nn.Sequential:
    """Conditions to one number per channel, which is `start` at the beginning of training."""
    last = nn.Linear(num_channels, num_channels)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, start)
    return nn.Sequential(OrderedDict(linear1=nn.Linear(condition_dim, num_channels), relu1=nn.ReLU(), linear2=last))
