"""What the parity tests share: stored numbers of the reference code, the inputs they were computed from, comparisons.

Weights are stored as float16 values that are exact; outputs were computed in float32.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from sclgan.encoders.base import ImageCodes
from sclgan.encoders.damsm import DAMSM
from sclgan.losses.matching import attention_weights

FORWARD, GRADIENT, STEP = 1e-4, 2e-3, 5e-3  # tolerances, relative to the largest magnitude of a tensor


class PoolingStub(nn.Module):
    """The reference run's stand-in for a trunk: pixels pooled to 17 x 17, repeated to the heads' widths."""

    region_channels = 768
    pooled_channels = 2048

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.adaptive_avg_pool2d(image, 17)
        return pooled.repeat(1, 256, 1, 1), pooled.flatten(1).repeat(1, 3)[:, :2048]


def load(model: str) -> dict[str, Tensor]:
    """The stored tensors of one model: `weights.<module>.<key>`, `in.*`, `out.*`."""
    return load_file(Path(__file__).parent / "parity" / f"{model}.safetensors")


def weights(stored: dict[str, Tensor], module: str) -> dict[str, Tensor]:
    prefix = f"weights.{module}."
    state = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def damsm_of(stored: dict[str, Tensor]) -> DAMSM:
    """The stored encoders over the stub, in eval mode."""
    damsm = DAMSM(30, PoolingStub, code_size=16).eval()
    encoders = ("text_encoder", "image_encoder")
    damsm.load_state_dict({f"{name}.{key}": value for name in encoders for key, value in weights(stored, name).items()})
    return damsm


def real_images(stored: dict[str, Tensor]) -> Tensor:
    """256 x 256 images: the stored 128 x 128 ones with every pixel repeated."""
    real = stored["in.real128_u8"].float() / 127.5 - 1
    return real.repeat_interleave(2, 2).repeat_interleave(2, 3)


def hash_uniform(shape: tuple[int, ...], seed: int) -> Tensor:
    """The fixed pseudo-random numbers in [-1, 1] that the reference run read."""
    h = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed * 1000003)) * np.uint64(2654435761)
    h &= np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    return torch.from_numpy((h / 2.0**31 - 1).astype(np.float32)).reshape(shape)


def hash_codes(damsm: DAMSM) -> ImageCodes:
    """The codes that the image heads make of hashed trunk outputs."""
    heads = damsm.image_encoder
    regions, pooled = hash_uniform((3, 768, 17, 17), 1), hash_uniform((3, 2048), 2)
    return ImageCodes(image=heads.emb_cnn_code(pooled), regions=heads.emb_features(regions))


def attention_maps(words: Tensor, mask: Tensor, regions: Tensor, *, gamma1: float) -> Tensor:
    """Where in its own image each word looks, [b t r s], zero at padding."""
    similarity = torch.einsum("bdt,bdk->btk", words, regions.flatten(2))
    attention = attention_weights(similarity, mask, gamma1) * mask[:, :, None]
    return attention.unflatten(2, regions.shape[2:])


def agree(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """The largest difference is at most `tolerance` of the largest expected magnitude."""
    assert found.shape == expected.shape
    error = (found.detach() - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    assert error <= tolerance, f"relative error {error:.2e}"


def agree_norms(stored: dict[str, Tensor], section: str, module: nn.Module) -> None:
    """Norms of the gradients of `module`'s parameters, each within the tolerance of gradients."""
    prefix = f"out.gradnorm.{section}."
    expected = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    parameters = dict(module.named_parameters())
    assert expected
    for key, norm in expected.items():
        gradient = parameters[key].grad
        assert gradient is not None, key
        agree(gradient.norm(), norm, GRADIENT)
