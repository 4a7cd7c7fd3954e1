"""The resizes of the literature, reproduced exactly: TensorFlow 1's bilinear, Pillow's in 8 bits and in floating point.

Parmar et al. 2022 (arXiv 2104.11222), section 3: libraries that name a filter alike disagree by more than methods do.
Each is separable and linear, so it is a matrix for the rows and one for the columns.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Filter = Literal["bilinear", "bicubic"]
Weights = np.ndarray[tuple[int, ...], np.dtype[Any]]


def tf1_bilinear(images: UInt8[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 size size"]:
    """tf.image.resize_bilinear of TensorFlow 1: position i of the result reads position i * h / size of the image.

    There is no shift by half a pixel and no smoothing when the image shrinks. Values in [0, 255], not quantised.
    """
    height, width = images.shape[2:]
    return _separable(images.float(), _tf1_weights(height, size), _tf1_weights(width, size))


def pillow(
    images: UInt8[Tensor, "b 3 h w"], size: int, *, filter: Filter, quantised: bool
) -> Float[Tensor, "b 3 size size"]:
    """Pillow's resize of 8-bit pictures (`quantised`), or of each channel in floating point (mode F).

    The filter is stretched when the picture shrinks. Pillow resizes along rows first; in 8 bits it rounds and clamps
    after each direction, in floating point bicubic values may be slightly outside [0, 255].
    """
    height, width = images.shape[2:]
    if height == width == size:
        return images.float()
    rows, columns = (_pillow_weights(side, size, filter) for side in (height, width))
    if not quantised:
        return _separable(images.float(), rows.astype(np.float32), columns.astype(np.float32))
    return _separable(images.double(), _fixed_point(rows), _fixed_point(columns), quantise=_rounded).float()


def _separable(
    images: Tensor, rows: Weights, columns: Weights, *, quantise: Callable[[Tensor], Tensor] = lambda x: x
) -> Tensor:
    down, across = (torch.from_numpy(weights).to(images.device) for weights in (rows, columns))
    return quantise(down @ quantise(images @ across.T))


PRECISION = 2.0**22


def _fixed_point(weights: Weights) -> Weights:
    """Pillow's integer weights; their sums of pixels are exact in float64."""
    return np.trunc(weights * PRECISION + np.copysign(0.5, weights))


def _rounded(sums: Tensor) -> Tensor:
    return ((sums + PRECISION / 2) / PRECISION).floor().clamp(0, 255)


@lru_cache(maxsize=16)
def _tf1_weights(length: int, size: int) -> Weights:
    """[size, length]. Positions are float32, as in TensorFlow."""
    positions = np.arange(size, dtype=np.float32) * np.float32(length / size)
    below = positions.astype(np.int64)
    above = np.minimum(below + 1, length - 1)
    fraction = positions - below.astype(np.float32)
    weights = np.zeros((size, length), dtype=np.float32)
    np.add.at(weights, (np.arange(size), below), 1 - fraction)
    np.add.at(weights, (np.arange(size), above), fraction)
    return weights


@lru_cache(maxsize=16)
def _pillow_weights(length: int, size: int, filter: Filter) -> Weights:
    """[size, length]: the filter around the centre of each new pixel, over the pixels within its support."""
    scale = length / size
    stretch = max(scale, 1.0)
    reach = {"bilinear": 1.0, "bicubic": 2.0}[filter] * stretch
    weights = np.zeros((size, length))
    for i in range(size):
        centre = (i + 0.5) * scale
        first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), length)
        distances = np.abs((np.arange(first, end) - centre + 0.5) / stretch)
        values = _bilinear(distances) if filter == "bilinear" else _bicubic(distances)
        weights[i, first:end] = values / values.sum()
    return weights


def _bilinear(x: Weights) -> Weights:
    triangle: Weights = np.maximum(1 - x, 0)
    return triangle


def _bicubic(x: Weights) -> Weights:
    """Keys' cubic with a = -0.5."""
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    cubic: Weights = np.where(x < 1, inner, np.where(x < 2, outer, 0.0))
    return cubic
