"""Pictures to evaluate, in batches: generated ones, or the files of a folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sclgan import distributed
from sclgan.data.picture_files import PictureFolder, decoded_ahead
from sclgan.encoders.base import Encoders, TextCodes
from sclgan.progress import ProgressLine

BATCH = 64
BATCH_PIXELS = 2**24  # bounds the memory that a batch of large pictures takes
MOST_WAITING = 8 * BATCH  # decoded pictures of all sizes that wait for a full batch of their size


@dataclass(frozen=True)
class PictureBatch:
    """Pictures of one size and the captions and labels that they belong to.

    `indices` number the samples over all batches and ranks, each once: results then depend on neither the batch size
    nor the number of ranks. `labels` follow `reals.label_of`. Only R-precision needs the codes of the picture and of
    its caption in the encoders' common space.
    """

    indices: Int[Tensor, " b"]
    images: UInt8[Tensor, "b 3 h w"]
    captions: Sequence[str]
    labels: Int[Tensor, " b"]
    image_codes: Float[Tensor, "b d"] | None = None
    text_codes: Float[Tensor, "b d"] | None = None


Features = Mapping[str, Float[Tensor, "b d"]]
"""Feature rows by the name of the extractor."""

Encode = Callable[[UInt8[Tensor, "b 3 h w"], Sequence[str]], tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]]
"""Maps pictures and captions to their codes in the encoders' common space."""


def encode_with(encoders: Encoders, encode_text: Callable[[Sequence[str]], TextCodes]) -> Encode:
    """Codes of 8-bit pictures and of captions by a pair of pre-trained encoders."""

    @torch.no_grad()
    def encode(
        images: UInt8[Tensor, "b 3 h w"], captions: Sequence[str]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        pixels = images.to(distributed.device()).float() / 127.5 - 1
        return encoders.encode_image(pixels).image, encode_text(captions).sentence

    return encode


def picture_batch(
    numbers: Sequence[int],
    pixels: Sequence[UInt8[np.ndarray, "h w 3"]],
    captions: Sequence[str],
    labels: Sequence[int],
    encode: Encode | None = None,
) -> PictureBatch:
    """The batch of these pictures; `encode` adds their codes."""
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    codes: tuple[Tensor | None, Tensor | None] = (None, None) if encode is None else encode(images, captions)
    return PictureBatch(torch.tensor(list(numbers)), images, captions, torch.tensor(labels), *codes)


def pictures_of(
    folder: PictureFolder,
    numbers: Sequence[int],
    *,
    encode: Encode | None = None,
    num_workers: int | None = None,
) -> Iterator[PictureBatch]:
    """This rank's share of the files with these numbers, in batches of one size, decoded ahead by threads.

    A picture waits until pictures of its size fill a batch, or until too many wait. `encode` adds codes of pictures
    and captions. Shows progress.
    """

    def batch(rows: Sequence[tuple[int, np.ndarray]]) -> PictureBatch:
        rows_numbers, pixels = zip(*rows, strict=True)
        captions = [folder.captions[number] if folder.captions else "" for number in rows_numbers]
        return picture_batch(rows_numbers, pixels, captions, [folder.labels[number] for number in rows_numbers], encode)

    def batches() -> Iterator[PictureBatch]:
        own = numbers[distributed.rank() :: distributed.world_size()]
        waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
        for place, pixels in decoded_ahead([folder.files[number] for number in own], num_workers):
            alike = waiting.setdefault(pixels.shape, [])
            alike.append((own[place], pixels))
            held = {size: len(rows) * size[0] * size[1] for size, rows in waiting.items()}
            full = len(alike) == BATCH or held[pixels.shape] >= BATCH_PIXELS
            if full or sum(map(len, waiting.values())) > MOST_WAITING or sum(held.values()) > 4 * BATCH_PIXELS:
                yield batch(waiting.pop(pixels.shape if full else max(held, key=held.__getitem__)))
        for rest in waiting.values():
            yield batch(rest)

    return with_progress(batches(), f"reading {folder.root}", len(numbers))


def with_progress(batches: Iterator[PictureBatch], title: str, num_pictures: int) -> Iterator[PictureBatch]:
    """The batches, with a progress line; `num_pictures` counts those of all ranks."""
    own = len(range(num_pictures)[distributed.rank() :: distributed.world_size()])
    with ProgressLine(title, total=own, done=0, unit_images=1) as progress:
        for batch in batches:
            yield batch
            progress.advance(progress.done + len(batch.indices))
