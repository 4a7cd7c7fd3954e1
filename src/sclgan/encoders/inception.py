"""The Inception-v3 trunk below DAMSM's image encoder: regions of Mixed_6e, the pooled vector of Mixed_7c.

Szegedy et al. 2016, "Rethinking the Inception Architecture", in torchvision's layout; used as in AttnGAN section 3.2.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sclgan.data.needed import Needed
from sclgan.weights.loading import load_strictly
from sclgan.weights.readers import read_states
from sclgan.weights.registry import FILES, verified, weights_folder

KEY = "inception-torchvision"
"""The weights in `weights.registry`."""
SIZE = 299

TO_REGIONS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    *("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
)
TO_POOLED = ("Mixed_7a", "Mixed_7b", "Mixed_7c")
MAPS = {"maxpool1": 64, "Mixed_5d": 288, "Mixed_6e": 768, "Mixed_7c": 2048}
"""The last layer at each resolution (73, 35, 17 and 8 places per side), and its channels."""


class InceptionTrunk(nn.Module):
    """Images in [-1, 1] of any size to regions (b, 768, 17, 17) and a pooled vector (b, 2048); satisfies `Backbone`.

    `weights` is a file with the state dict of torchvision's Inception-v3, "imagenet" for the file of
    `weights.registry`, or None for random weights. Parameter names are torchvision's.

    Reference quirks, kept for released weights: images are not normalised by ImageNet's mean and deviation, though
    the weights were trained so; and the resize to 299 pixels has `align_corners=True` in AttnGAN (torch 0.3) and
    DM-GAN, False in SSA-GAN.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged or does not hold this network.
    """

    region_channels = 768
    pooled_channels = 2048
    map_channels = tuple(MAPS.values())

    @staticmethod
    def needed_files(weights: str | Path | None) -> list[Needed]:
        """The ImageNet weights, where they are named."""
        if weights != "imagenet":
            return []
        file = FILES[KEY]
        name, sha256 = next(iter(file.names.items()))
        page, checksum = f"{file.url} (described at {file.page})", f"SHA-256 begins with {sha256}"
        return [Needed(name, page, f"put it in {weights_folder()}", size=f"{file.size} MB", checksum=checksum)]

    def __init__(self, weights: str | Path | None, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
        from torchvision.models import Inception3  # a second or two, and recipes name this class

        network = Inception3(aux_logits=False, transform_input=False, init_weights=False)
        for name in TO_REGIONS + TO_POOLED:
            self.add_module(name, _folded(network.get_submodule(name)))
        if weights is not None:
            self._load(imagenet_weights() if weights == "imagenet" else Path(weights))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 768 17 17"], Float[Tensor, "b 2048"]]:
        regions, pooled, _ = self.with_maps(image)
        return regions, pooled

    def with_maps(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 768 17 17"], Float[Tensor, "b 2048"], tuple[Float[Tensor, "b _c _h _w"], ...]]:
        """`forward`, and the maps that `MAPS` names."""
        if image.shape[2:] != (SIZE, SIZE):
            image = F.interpolate(image, (SIZE, SIZE), mode="bilinear", align_corners=self.align_corners)
        image = image.contiguous(memory_format=torch.channels_last)  # in this layout its convolutions are fastest
        maps: dict[str, Tensor] = {}
        for name in TO_REGIONS + TO_POOLED:
            image = self.get_submodule(name)(image)
            if name in MAPS:
                maps[name] = image
        return maps[TO_REGIONS[-1]], image.mean(dim=(2, 3)), tuple(maps.values())

    def _load(self, weights: Path) -> None:
        states = read_states(weights)
        load_strictly(
            self,
            states[0] if len(states) == 1 else {},
            weights,
            network="torchvision's Inception-v3",
            ignored_prefixes=("fc.", "AuxLogits."),  # the classifiers of the whole network are not used here
            counters_optional=True,
            advice=f"Get {FILES[KEY].url}",
        )


def _folded(module: nn.Module) -> nn.Module:
    """The module with every convolution and its normalisation folded into one layer."""
    from torchvision.models.inception import BasicConv2d

    if isinstance(module, BasicConv2d):
        return _FoldedConvolution(module)
    for name, child in module.named_children():
        module.add_module(name, _folded(child))
    return module


class _FoldedConvolution(nn.Module):
    """`relu(bn(conv(x)))` of torchvision, `bn` in evaluation, with one pass over the features less in both directions.

    bn(conv(x)) = conv(x) * scale + shift        scale = bn.weight / sqrt(bn.running_var + eps), in conv's weight
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv, self.bn = layer.conv, layer.bn

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d _h _w"]:
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        weight, shift = self.conv.weight * scale[:, None, None, None], self.bn.bias - self.bn.running_mean * scale
        return F.relu_(F.conv2d(x, weight, shift, self.conv.stride, self.conv.padding))


def imagenet_weights() -> Path:
    """The verified file of torchvision's ImageNet weights.

    Raises:
        FileNotFoundError: it is in none of the folders; the message says what to get and where to put it.
        ValueError: it is not the known file.
    """
    try:
        return verified(KEY)[0]
    except FileNotFoundError as error:
        advice = "or give the path of your copy: encoders.backbone.weights=FILE in a recipe"
        raise FileNotFoundError(f"{error}, {advice}") from None
