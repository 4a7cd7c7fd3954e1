"""The sizes of published networks, told by the shapes of their tensors.

A size that cannot be found is left out: the comparison of all tensors then says which are missing.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from sclgan.weights.readers import State


def size(state: State, name: str, axis: int) -> int | None:
    """The length of a tensor along an axis; None if there is no such tensor or axis."""
    return state[name].shape[axis] if name in state and state[name].dim() > axis else None


def known(**sizes: int | None) -> dict[str, Any]:
    """The sizes that were found, as arguments."""
    return {name: size for name, size in sizes.items() if size}


def count(state: State, pattern: str) -> int:
    """The number of different modules whose tensors' names begin with the pattern."""
    return len({match[0] for name in state if (match := re.match(pattern, name))})


def stacked(generator: State, discriminators: Sequence[State]) -> tuple[int | None, dict[str, Any]]:
    """Image size and arguments of AttnGAN or DM-GAN."""
    num_stages = count(generator, r"img_net\d+\.")
    num_doublings = count(generator, r"h_net1\.upsample\d+\.")
    four_conditions = size(generator, "ca_net.fc.weight", 0) or 0
    num_in = size(generator, "h_net1.fc.0.weight", 1)
    eight_ndf = size(discriminators[0], "COND_DNET.outlogits.0.weight", 1) if discriminators else None
    sizes = known(
        num_stages=num_stages,
        ngf=size(generator, "img_net1.img.0.weight", 1),
        ndf=eight_ndf and eight_ndf // 8,
        condition_dim=four_conditions // 4,
        z_dim=num_in and max(1, num_in - four_conditions // 4),
        num_residual_blocks=count(generator, r"h_net2\.residual\.\d+\."),
    )
    return 4 * 2 ** (num_doublings + num_stages - 1) if num_stages else None, sizes


def ssagan(generator: State, _: Sequence[State]) -> tuple[int | None, dict[str, Any]]:
    """Image size and arguments of SSA-GAN."""
    sizes = known(
        nf=size(generator, "conv_img.2.weight", 1),
        z_dim=size(generator, "fc.weight", 1),
        mask_channels=size(generator, "conv_mask.0.weight", 0),
    )
    return 4 * 2 ** (count(generator, r"block\d+\.") - 1), sizes


def clip(state: State) -> dict[str, Any]:
    """Arguments of CLIP. All of OpenAI's transformers have 64 channels per head."""
    width, code_size = size(state, "visual.conv1.weight", 0), size(state, "text_projection", 1)
    patch_size, num_tokens = size(state, "visual.conv1.weight", 3), size(state, "visual.positional_embedding", 0)
    return known(
        code_size=code_size,
        context_length=size(state, "positional_embedding", 0),
        num_text_blocks=count(state, r"transformer\.resblocks\.\d+\."),
        num_text_heads=code_size and max(1, code_size // 64),
        image_size=patch_size and num_tokens and patch_size * math.isqrt(num_tokens - 1),
        patch_size=patch_size,
        image_width=width,
        num_image_blocks=count(state, r"visual\.transformer\.resblocks\.\d+\."),
        num_image_heads=width and max(1, width // 64),
    )


def galip(generator: State, discriminators: Sequence[State]) -> dict[str, Any]:
    """Arguments of GALIP."""
    judges = {name: x for state in discriminators for name, x in state.items()}
    width, num_features = size(generator, "mapping.conv_fuse.weight", 0), size(generator, "mapping.fc_prompt.weight", 0)
    return known(
        nf=size(generator, "to_rgb.1.weight", 1),
        z_dim=size(generator, "fc_code.weight", 1),
        code_channels=size(generator, "mapping.conv_fuse.weight", 1),
        mid_channels=size(generator, "mapping.FBlocks.0.conv1.weight", 0),
        num_prompts=width and num_features and num_features // width,
        discriminator_channels=size(judges, "main.conv_s.weight", 0),
        head_channels=size(judges, "joint_conv.0.weight", 0),
    )
