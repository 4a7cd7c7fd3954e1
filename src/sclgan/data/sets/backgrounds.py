"""The plain backgrounds on which emoji are laid, and two readings of them: from pixels and from a caption.

Their agreement measures whether a generated picture follows its caption. Distances are Euclidean in CIE L*a*b*
(CIE 15:2004, D65), the difference of 1976.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, UInt8

BACKGROUNDS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "white": (255, 255, 255),
        "gray": (140, 140, 145),
        "black": (18, 18, 22),
        "navy": (28, 40, 100),
        "light blue": (145, 205, 250),
        "mint green": (155, 232, 180),
        "dark green": (20, 92, 58),
        "pale yellow": (255, 240, 150),
        "peach": (255, 196, 150),
        "pink": (250, 160, 195),
        "lavender": (200, 175, 245),
        "maroon": (118, 24, 46),
    }
)
"""Name and RGB of each background. No two are closer than 28 in L*a*b*."""

COLORS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (220, 40, 45),
        "orange": (245, 140, 40),
        "yellow": (255, 210, 60),
        "green": (90, 165, 60),
        "light blue": (120, 195, 245),
        "blue": (35, 110, 205),
        "purple": (140, 90, 195),
        "pink": (245, 135, 175),
        "brown": (130, 80, 50),
        "black": (35, 35, 40),
        "gray": (150, 155, 160),
        "white": (248, 248, 248),
    }
)
"""Name and RGB of the colours that captions give to things."""

_NAME = "|".join(sorted(BACKGROUNDS, key=len, reverse=True))
_SAID = re.compile(
    rf"\b(?P<before>{_NAME}) (?:background|backdrop|ground)\b"
    rf"|\b(?:background|backdrop|ground)(?: is|:)? (?:plain )?(?P<after>{_NAME})\b"
    rf"|\b(?:on|against) (?:a |an |plain )*(?P<end>{_NAME})\W*$"
)


def named_background(caption: str) -> str | None:
    """The background that a caption names, None if it names none.

    Read are "... on a light blue background", "the background is light blue" and, at the end, "... on light blue".
    A colour of the thing itself ("a light blue car") is no background.
    """
    said = _SAID.search(caption.lower())
    return None if said is None else next(name for name in said.groups() if name is not None)


def background_of(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """The background of a picture, wherever it comes from: the one nearest to the median colour of its border.

    The border is 1/32 of the picture's side wide (2 pixels of 64, at least 1). A thing may touch a side: the median
    holds as long as most of the border is background.
    """
    height, width = pixels.shape[:2]
    edge = max(1, min(height, width) // 32)
    border = np.ones((height, width), bool)
    border[edge:-edge, edge:-edge] = False
    color = np.median(pixels[border], axis=0)
    return list(BACKGROUNDS)[int(nearest(color[None], list(BACKGROUNDS.values()))[0])]


def nearest(
    colors: Float[np.ndarray, "n 3"] | UInt8[np.ndarray, "n 3"], palette: Sequence[tuple[int, int, int]]
) -> np.ndarray:
    """The index [n] of the palette's colour that is nearest in L*a*b* to each RGB colour of 0..255."""
    gaps: np.ndarray = lab(colors)[:, None] - lab(np.array(palette, np.float64))[None]
    return np.asarray((gaps**2).sum(-1).argmin(1))


def lab(rgb: Float[np.ndarray, "n 3"] | UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """CIE L*a*b* of sRGB colours of 0..255, white point D65."""
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    rows = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    to_xyz = np.array(rows)
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
