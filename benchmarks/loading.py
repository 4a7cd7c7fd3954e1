"""Speed of loading two-view batches at 256 pixels, in images per second and core: as the references, and from a pack.

    python benchmarks/loading.py [--quality Q] [--with-boxes]

- reference: Pillow decodes the photograph, torchvision crops and flips it and makes three scales, each normalised to
  floats, and PyTorch collates, as in the codes of AttnGAN, DM-GAN and SSA-GAN (without their captions).
- ours: `PairedBatches` over a pack of the same photographs, captions and tokens included, up to the batch of pixels
  that a worker passes on; and the same with the conversion to floats, here on the CPU.
- decoder: only decoding the files of the pack.

The photographs are synthetic: noise of several scales with grain and emoji, 500 x 375 pixels. At JPEG quality 90 they
have 2.3 bits per pixel, like photographs; they are stored at 97, which gives them the mean size of CUB's files, 98 kB
(1.15 GB / 11,788). Times are CPU seconds of this process with one thread. The rows take turns, so that a drifting speed
of the machine affects all of them alike, and medians are printed.
"""

import argparse
import io
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision import transforms

from sclgan.data.captions import Vocabulary
from sclgan.data.packs import decode
from sclgan.data.packs.read import Packed
from sclgan.data.packs.write import pack
from sclgan.data.pairs import PairedBatches
from sclgan.data.sets.emoji import Emoji, collection
from sclgan.data.sets.photographs import around
from sclgan.data.types import Picture, Sample

WIDTH, HEIGHT, SIZE = 500, 375, 256
QUALITY = 97  # of the photographs
NUM_PHOTOS, BATCH, NUM_TURNS = 64, 16, 25
BOX = (110, 60, 270, 230)  # left, top, width, height: a bird of usual size


class Photographs:
    """Synthetic photographs, a `Source` without `picture`: eight per label, five captions each."""

    name, split = "photographs", "train"
    composes, credits = False, ()

    def __init__(self, *, with_boxes: bool) -> None:
        emoji = Emoji("train")
        self.box = BOX if with_boxes else None
        self.files = [photograph(row) for row in range(NUM_PHOTOS)]
        self.texts = [tuple(list(emoji.sample(row).captions)[:5]) for row in range(NUM_PHOTOS)]
        self.labels: Sequence[tuple[int, ...]] = [(row // 8,) for row in range(NUM_PHOTOS)]
        self.label_names: Sequence[str] = [f"label {label}" for label in range(NUM_PHOTOS // 8)]
        self.keys: Sequence[str] = [f"{row:06d}" for row in range(NUM_PHOTOS)]

    def __len__(self) -> int:
        return NUM_PHOTOS

    def picture(self, index: int, size: int, rng: np.random.Generator, *, augment: bool = True) -> Picture:
        raise NotImplementedError

    def captions(self) -> Iterator[str]:
        for texts in self.texts:
            yield from texts

    def sample(self, index: int) -> Sample:
        key = self.keys[index]
        return Sample(self.files[index], self.texts[index], self.labels[index], self.split, key, self.box)


def photograph(number: int) -> bytes:
    """A JPEG with as much detail as a photograph has."""
    rng = np.random.default_rng(number)
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0)
    mixed = 0.35 * np.eye(3) + 0.65 / 3  # channels of photographs are correlated
    for octave in range(1, 8):
        coarse = rng.normal(0, 60 / octave**1.2, (2**octave, 2**octave, 3)) @ mixed
        planes = [Image.fromarray(coarse[..., c].astype(np.float32)) for c in range(3)]
        pixels += np.stack([np.asarray(p.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for p in planes], axis=-1)
    pixels += rng.normal(0, 5, (HEIGHT, WIDTH, 1)) + rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    rows = Emoji("train").rows
    for _ in range(3):
        side = int(rng.integers(90, 220))
        sprite = collection().sprite_image(*rows[rng.integers(len(rows))]).resize((side, side))
        image.paste(sprite, (int(rng.integers(WIDTH - side)), int(rng.integers(HEIGHT - side))), sprite)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


class Reference:
    """The data set of the references: decode, crop about the box, resize, crop, flip, three scales."""

    def __init__(self, source: Photographs) -> None:
        self.source = source
        self.augment = transforms.Compose(
            [transforms.Resize(SIZE * 76 // 64), transforms.RandomCrop(SIZE), transforms.RandomHorizontalFlip()]
        )
        half = (0.5, 0.5, 0.5)
        self.normalize = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])

    def __getitem__(self, index: int) -> list[torch.Tensor]:
        with Image.open(io.BytesIO(self.source.files[index])) as opened:
            image = opened.convert("RGB")
        if self.source.box is not None:
            image = image.crop(around(self.source.box, image.width, image.height))
        image = self.augment(image)
        return [self.normalize(image if size == SIZE else transforms.Resize(size)(image)) for size in (64, 128, SIZE)]


def main() -> None:
    """Prints the table, and JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--with-boxes", action="store_true", help="crop about a bird's box, as on CUB")
    parser.add_argument("--pillow", action="store_true", help="decode with Pillow, as where simplejpeg is missing")
    parser.add_argument("--json", type=Path, help="also append the figures to this file, a line each")
    given = parser.parse_args()
    torch.set_num_threads(1)
    decoder = simplejpeg.decode_jpeg
    if given.pillow:
        decode.simplejpeg = None  # type: ignore[attr-defined]
        decoder = lambda file: np.asarray(Image.open(io.BytesIO(file)))  # noqa: E731
    photographs = Photographs(with_boxes=given.with_boxes)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        pack([photographs], Path(folder) / "pack", size=SIZE, quality=given.quality)
        pack_seconds = time.process_time() - began
        packed = Packed("train", root=Path(folder) / "pack")
        files = [packed.sample(row).image for row in range(len(packed))]
        reference = Reference(photographs)
        vocabulary = Vocabulary.of(packed.captions(), max_words=18)
        batches = PairedBatches(packed, vocabulary, num_views=2, batch_size=BATCH, image_size=SIZE, seed=0)

        def of_references(turn: int) -> None:
            for view in range(2):
                first = (turn * 2 + view) * BATCH
                default_collate([reference[row % NUM_PHOTOS] for row in range(first, first + BATCH)])

        def of_decoder(turn: int) -> None:
            for row in range(turn * 2 * BATCH, (turn + 1) * 2 * BATCH):
                decoder(files[row % NUM_PHOTOS])

        rows: dict[str, Callable[[int], object]] = {
            "reference": of_references,
            "ours, pixels": lambda turn: batches[turn],
            "ours, floats": lambda turn: batches[turn].to(torch.device("cpu")),
            "decoder": of_decoder,
        }
        milliseconds: dict[str, list[float]] = {name: [] for name in rows}
        for turn in range(NUM_TURNS):
            for name, work in rows.items():
                began = time.process_time()
                work(turn)
                milliseconds[name].append((time.process_time() - began) * 1000 / (2 * BATCH))
    median = {name: statistics.median(values) for name, values in milliseconds.items()}
    original, stored = (sum(map(len, some)) / NUM_PHOTOS for some in (photographs.files, files))
    print(f"{platform.processor() or platform.machine()}, one thread, torch {torch.__version__}")
    print(f"photographs {original / 1000:.1f} kB, packed at quality {given.quality} {stored / 1000:.1f} kB per picture")
    print(f"packing {NUM_PHOTOS / pack_seconds:.0f} pictures per second and core")
    for name, value in median.items():
        times = median["reference"] / value
        share = median["decoder"] / value
        print(f"{name:<14}{1000 / value:7.0f} images per second {times:6.2f} x reference  {share:5.0%} of the decoder")
    if given.json:
        figures = {"quality": given.quality, "with_boxes": given.with_boxes, "pillow": given.pillow}
        figures |= {"original_bytes": original, "packed_bytes": stored, "milliseconds": median}
        with given.json.open("a") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
