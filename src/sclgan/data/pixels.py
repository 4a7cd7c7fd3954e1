"""Images of networks, in [-1, 1], as 8-bit pixels."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def to_8_bits(images: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """round((x + 1) / 2 * 255), ties to even; values outside [-1, 1] are clipped.

    Truncation, as some reference codes have it, darkens by half a grey level.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    levels = images.detach().float() * 127.5 + 127.5
    if not bool(levels.isfinite().all()):
        broken = int((~levels.isfinite()).flatten(1).any(1).sum())
        raise ValueError(
            f"{broken} of {len(images)} drawn pictures hold NaN or infinity: the generator has diverged; "
            "take an earlier checkpoint, or train again with a lower learning rate"
        )
    return levels.round().clamp(0, 255).to(torch.uint8)
