"""Parts of generators that AttnGAN and DM-GAN share: the chain of stages, the first stage, attention over words.

Zhang et al. 2018, "StackGAN++", section 4 (the chain); Xu et al. 2018, "AttnGAN" (CVPR), section 3.1. How a
later stage reads the words differs between the two papers and is in their own files.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sclgan.encoders.base import TextCodes
from sclgan.gans.base import Fake
from sclgan.gans.layers import GLU, GlobalBatchNorm1d, GlobalBatchNorm2d, UpsampledConv2d

MaskOrder = Literal["own", "reference"]


class Generator(nn.Module):
    """Noise and text to an image in [-1, 1] per stage, each twice as large as the previous one.

        c = mean(s) + exp(log_variance(s) / 2) eps        h_1 = h_net1(c, noise)        h_k = h_net{k}(h_{k-1}, words)
        image_k = tanh( conv3x3(h_k) )

    `refine()` makes one later stage: (features, words, mask) to (features of twice the size, attention maps). The
    first stage has `image_size / 2^(num_stages - 1)` pixels. Parameter names are those of the reference code.
    """

    def __init__(
        self,
        refine: Callable[[], nn.Module],
        *,
        image_size: int,
        num_stages: int,
        ngf: int,
        z_dim: int,
        condition_dim: int,
        text_dim: int,
    ) -> None:
        super().__init__()
        self.num_stages = num_stages
        self.ca_net = ConditioningAugmentation(text_dim, condition_dim)
        self.h_net1 = FirstStage(z_dim + condition_dim, ngf, image_size=stage_sizes(image_size, num_stages)[0])
        for stage in range(1, num_stages + 1):
            if stage > 1:
                self.add_module(f"h_net{stage}", refine())
            to_image = nn.Sequential(nn.Conv2d(ngf, 3, 3, padding=1, bias=False), nn.Tanh())
            self.add_module(f"img_net{stage}", nn.Sequential(OrderedDict(img=to_image)))
        initialise(self)

    def forward(self, noise: Float[Tensor, "b z"], eps: Float[Tensor, "b c"], text: TextCodes) -> Fake:
        """`eps` is the noise of the conditioning augmentation; `maps` are (b, t, h, w), one per later stage."""
        mean, log_variance = self.ca_net(text.sentence)
        h = self.h_net1(torch.cat([mean + (log_variance / 2).exp() * eps, noise], dim=1))
        images, maps = [self.get_submodule("img_net1")(h)], []
        for stage in range(2, self.num_stages + 1):
            h, attention = self.get_submodule(f"h_net{stage}")(h, text.words, text.mask)
            images.append(self.get_submodule(f"img_net{stage}")(h))
            maps.append(attention)
        return Fake(images=tuple(images), maps=tuple(maps), maps_of_words=True)


class ConditioningAugmentation(nn.Module):
    """Sentences to the Gaussians that conditions are drawn from (Zhang et al. 2017, "StackGAN", section 3.2)."""

    def __init__(self, text_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(text_dim, 4 * condition_dim)

    def forward(self, sentence: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
        """(mean, logarithm of the variance)."""
        mean, log_variance = F.glu(self.fc(sentence), dim=1).chunk(2, dim=1)
        return mean, log_variance


class FirstStage(nn.Module):
    """Condition and noise to `ngf` features of `image_size`, from 4 x 4 on, channels halving as pixels double."""

    def __init__(self, num_in: int, ngf: int, *, image_size: int) -> None:
        super().__init__()
        self.num_blocks = (image_size // 4).bit_length() - 1
        widths = [ngf * 2**i for i in range(self.num_blocks, -1, -1)]  # at 64 pixels the paper's 16 8 4 2 1
        size = 2 * widths[0] * 4 * 4
        self.fc = nn.Sequential(nn.Linear(num_in, size, bias=False), GlobalBatchNorm1d(size), GLU())
        for i in range(self.num_blocks):
            self.add_module(f"upsample{i + 1}", up_block(widths[i], widths[i + 1]))

    def forward(self, x: Float[Tensor, "b c"]) -> Float[Tensor, "b g h w"]:
        h: Tensor = self.fc(x).unflatten(1, (-1, 4, 4))
        for i in range(self.num_blocks):
            h = self.get_submodule(f"upsample{i + 1}")(h)
        return h


def up_block(num_in: int, num_out: int) -> nn.Sequential:
    """Twice the pixels: (b, num_in, h, w) to (b, num_out, 2h, 2w)."""
    layers = (UpsampledConv2d(num_in, 2 * num_out), GlobalBatchNorm2d(2 * num_out), GLU())
    # In the reference code the upsampling is a layer of its own, number 0.
    return nn.Sequential(OrderedDict((str(number), layer) for number, layer in enumerate(layers, start=1)))


class ResidualBlock(nn.Module):
    """`x + block(x)`, with no activation after the sum."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(num_channels, 2 * num_channels, 3, padding=1, bias=False),
            GlobalBatchNorm2d(2 * num_channels),
            GLU(),
            nn.Conv2d(num_channels, num_channels, 3, padding=1, bias=False),
            GlobalBatchNorm2d(num_channels),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return cast(Tensor, x + self.block(x))


def attend(
    features: Float[Tensor, "b c h w"],
    keys: Float[Tensor, "b c t"],
    values: Float[Tensor, "b c t"],
    mask: Bool[Tensor, "b t"],
    order: MaskOrder,
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b t h w"]]:
    """The context that each pixel reads from the words of its caption, and its weight of each word (AttnGAN, Eq. 2).

        attention[p, t] = softmax_t( features_p . keys_t )        context_p = sum_t attention[p, t] values_t

    `mask` is True at real words; with the order "own" padding takes no part.

    Reference quirk: with the order "reference" pixel p of row b, of P pixels, has the mask of row (b P + p) mod B,
    where B is the number of rows of this call, so that an image depends on its neighbours in the batch. Kept for
    released weights, which were trained so.
    """
    size = features.shape[2:]
    pixels = features.permute(0, 2, 3, 1).flatten(1, 2)  # [b p c], a view of channels-last features
    seen = mask[:, None]  # [b 1 t]
    if order == "reference":
        num_rows, num_pixels = pixels.shape[:2]  # not `len`, which exporters take for a constant
        seen = mask.repeat(num_pixels, 1).view(num_rows, num_pixels, mask.shape[1])  # [b p t]
    attention = (pixels @ keys).masked_fill(~seen, -torch.inf).softmax(dim=2)  # [b p t]
    context = (attention @ values.transpose(1, 2)).transpose(1, 2)  # [b c p], of the memory order of `pixels`
    return torch.unflatten(context, 2, size), torch.unflatten(attention.transpose(1, 2), 2, size)


def stage_sizes(image_size: int, num_stages: int) -> list[int]:
    """The sides of the stages' images, from coarse to fine; the last is `image_size`.

    Raises:
        ValueError: the first would not be 16, 32 or 64 pixels.
    """
    sizes = [image_size >> i for i in range(num_stages - 1, -1, -1)]
    if not sizes or sizes[0] not in (16, 32, 64) or sizes[0] << (num_stages - 1) != image_size:
        raise ValueError(
            f"{num_stages} stages that end at {image_size} pixels do not begin at 16, 32 or 64: "
            "image_size must be one of these times 2^(num_stages - 1)"
        )
    return sizes


def initialise(module: nn.Module) -> None:
    """The reference code's initial weights: orthogonal, and batch normalisation's from N(1, 0.02)."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(part.weight)
        elif isinstance(part, GlobalBatchNorm1d | GlobalBatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
