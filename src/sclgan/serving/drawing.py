"""What the server does with an opened run: pictures as PNG, pictures between two, and what a picture looks at."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sclgan import distributed
from sclgan.data.pixels import to_8_bits
from sclgan.encoders.base import TextCodes, Tokenizer
from sclgan.random import Stream, normal
from sclgan.runs.opened import Run
from sclgan.runs.pictures import tiles

EXAMPLES = (
    *("a red apple on a white background", "a yellow banana on a blue background"),
    *("a small bird with a red head and a white belly", "a large black bird with a long beak"),
    *("a man riding a wave on a surfboard", "a bowl of fruit on a wooden table"),
)
"""Captions for the data sets of the recipes."""
Maps = Literal["words", "masks"]


@dataclass(frozen=True)
class Served:
    """A run under the name that clients know it by."""

    name: str
    run: Run
    maps: Maps | None
    """What its GAN shows beside a picture: attention to words, fusion masks, or nothing."""
    examples: list[str]
    """Up to two captions to begin with, of those of `EXAMPLES` that are read whole."""

    @classmethod
    def of(cls, name: str, run: Run) -> "Served":
        """Draws one picture to learn what the run can show; later ones are then drawn at full speed.

        Raises:
            ValueError: the picture holds NaN.
        """
        size, device = run.encoders.code_size, distributed.device()
        codes = torch.zeros(1, size, device=device), torch.zeros(1, size, 2, device=device)
        fake = run.generate(TextCodes(*codes, torch.ones(1, 2, dtype=torch.bool, device=device)), _noise(run, 0))
        to_8_bits(fake.image)
        maps: Maps | None = None
        if fake.maps:
            maps = "words" if fake.maps_of_words else "masks"
        return cls(name, run, maps, [caption for caption in EXAMPLES if _is_read(caption, run.tokenizer)][:2])


def _is_read(caption: str, tokenizer: Tokenizer) -> bool:
    reading = tokenizer.read(caption)
    return not reading.unknown and not reading.beyond


def pictures(run: Run, caption: str, *, num_images: int, seed: int) -> list[bytes]:
    """The pictures of `sclgan sample` with this seed, as PNG."""
    drawn = run.sample([caption], num_images=num_images, seed=seed)
    return [_png(pixels) for pixels in drawn.permute(0, 2, 3, 1).numpy()]


def picture_maps(run: Run, caption: str, *, num_images: int, seed: int, number: int) -> list[tuple[str, bytes]]:
    """A label and a PNG for each word or mask of one of `pictures`, counted from 0.

    The others are drawn as well: with published weights a picture depends on its neighbours in the batch.
    """
    row = number
    for fake in run.draw([caption], num_images=num_images, seed=seed):
        if row < len(fake.image):
            break
        row -= len(fake.image)
    pixels = to_8_bits(fake.image[row : row + 1])[0].permute(1, 2, 0).cpu().numpy()
    maps = [stage[row].float().cpu() for stage in fake.maps]
    words = run.tokenizer.read(caption).words
    return [(tile.label, _png(tile.pixels)) for tile in tiles(pixels, words, maps, of_words=fake.maps_of_words)]


def between(run: Run, captions: tuple[str, str], seeds: tuple[int, int], *, sentence: float, noise: float) -> bytes:
    """The picture at `sentence` of the way from one caption to the other, and at `noise` of that between the noises.

    At 0 and 1 these are the captions and noises themselves: in the corners it is `pictures` with `num_images=1`.
    """
    text = mixed_codes(run.encode(captions[:1]), run.encode(captions[1:]), sentence)
    z = mixed_noise(_noise(run, seeds[0]), _noise(run, seeds[1]), noise)
    return _png(to_8_bits(run.generate(text, z).image)[0].permute(1, 2, 0).cpu().numpy())


def mixed_codes(one: TextCodes, other: TextCodes, share: float) -> TextCodes:
    """The codes of two captions (one row each), mixed linearly.

    The word codes of each are stretched in time to a common length, which itself goes from one number of words to the
    other, so that nothing jumps next to either end.
    """
    if share in (0, 1):
        return other if share else one
    words = [codes.words[:, :, codes.mask[0]] for codes in (one, other)]
    length = round(words[0].shape[2] + share * (words[1].shape[2] - words[0].shape[2]))
    first, last = (F.interpolate(each, size=length, mode="linear", align_corners=True) for each in words)
    return TextCodes(
        torch.lerp(one.sentence, other.sentence, share),
        torch.lerp(first, last, share),
        torch.ones(1, length, dtype=torch.bool, device=one.mask.device),
    )


def mixed_noise(one: Float[Tensor, "1 z"], other: Float[Tensor, "1 z"], share: float) -> Float[Tensor, "1 z"]:
    """Spherical interpolation (White 2016, "Sampling Generative Networks"): the length stays that of Gaussian noise.

    sin((1 - t) a) / sin(a) one + sin(t a) / sin(a) other            a: the angle between them
    """
    cosine = F.cosine_similarity(one, other).double().clamp(-1, 1)
    if share in (0, 1) or bool(cosine.abs() > 1 - 1e-6):
        return torch.lerp(one, other, float(share))
    angle = cosine.acos()
    weights = [(torch.sin(part * angle) / torch.sin(angle)).to(one.dtype) for part in (1 - share, share)]
    return weights[0] * one + weights[1] * other


def _noise(run: Run, seed: int) -> Float[Tensor, "1 z"]:
    """That of the picture that `Run.sample` draws where it draws one."""
    return normal(1, run.gan.z_dim, Stream.SAMPLE, seed)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()
