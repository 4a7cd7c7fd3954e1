"""The cost of packs of different sizes: packing, bytes, and opening and reading in a separate process.

    python benchmarks/packs.py FOLDER [NUM_SAMPLES ...]        such as 100000 1000000; the packs stay in FOLDER

Each sample is a picture of 38 x 38 pixels with five captions and one of a thousand labels. Memory is what opening and
reading add to the process, and how much of it is private: the rest are pages of the mapped index, which all processes
share and the system takes back when it needs them.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sclgan.data.packs.read import Packed
from sclgan.data.packs.write import pack
from sclgan.data.types import Sample
from sclgan.random import Stream, numpy_generator

NUM_LABELS, NUM_READS = 1000, 2000


class Many:
    """Any number of samples, which repeat a few pictures."""

    name, split = "many", "train"
    label_names: Sequence[str] = [f"label {label}" for label in range(NUM_LABELS)]

    def __init__(self, num: int) -> None:
        self.keys: Sequence[str] = [f"{row:09d}" for row in range(num)]
        self.images = [small_picture(seed) for seed in range(8)]

    def __len__(self) -> int:
        return len(self.keys)

    def sample(self, index: int) -> Sample:
        captions = tuple(f"the sentence number {i} about the picture with the number {index}" for i in range(5))
        return Sample(self.images[index % 8], captions, (index % NUM_LABELS,), self.split, self.keys[index])


def small_picture(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((38, 38)).save(file, "JPEG")
    return file.getvalue()


def memory() -> tuple[float, float]:
    """Resident and private megabytes of this process."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def measure(root: Path) -> None:
    """Prints the time and memory of opening and reading a pack in this process."""
    before = memory()
    began = time.perf_counter()
    packed = Packed("train", root=root)
    opened = (time.perf_counter() - began) * 1000
    after_opening = memory()
    rng = numpy_generator(Stream.CHOICE, 0)
    rows = rng.integers(len(packed), size=NUM_READS).tolist()
    began = time.perf_counter()
    for row in rows:
        packed.picture(row, 32, rng)
        partners = packed.rows_of_label(packed.labels[row][0])
        int(partners[rng.integers(len(partners))])
    read = (time.perf_counter() - began) / NUM_READS * 1e6
    after_reading = memory()
    figures = {
        "num_samples": len(packed),
        "open_ms": opened,
        "open_mb": after_opening[0] - before[0],
        "open_own_mb": after_opening[1] - before[1],
        "read_us": read,
        "read_mb": after_reading[0] - before[0],
        "read_own_mb": after_reading[1] - before[1],
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def main() -> None:
    """Packs and measures each size."""
    if sys.argv[1] == "--here":
        measure(Path(sys.argv[2]))
        return
    folder = Path(sys.argv[1])
    for num in [int(text) for text in sys.argv[2:]] or [100_000, 1_000_000]:
        root = folder / str(num)
        began = time.perf_counter()
        pack([Many(num)], root, size=32, num_workers=2, samples_per_shard=10_000)
        seconds = time.perf_counter() - began
        shards, index = (sum(path.stat().st_size for path in root.glob(name)) for name in ("*.tar", "index/*/*"))
        print(f"{num} samples: packed in {seconds:.0f} s, shards {shards / 1e6:.0f} MB, index {index / 1e6:.1f} MB")
        for _ in range(2):  # the first reads what the disk has, the second what memory keeps
            subprocess.run([sys.executable, __file__, "--here", str(root)], check=True)


if __name__ == "__main__":
    main()
