"""Makes the reference statistics of emoji that are part of the package.

    python scripts/build_statistics.py          writes src/sclgan/evaluation/emoji_64.npz; minutes on one core

Features of EfficientNet-Lite0 of held-out drawings, composed at 64 pixels on random backgrounds, seed 0.
"""

from pathlib import Path

import numpy as np
import torch

from sclgan.data.sets.emoji import Emoji
from sclgan.evaluation.packaged_statistics import NAME, PATH, pack
from sclgan.evaluation.reals import composition
from sclgan.features.registry import EXTRACTORS
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import FeatureStatistics
from sclgan.progress import ProgressLine

NUM_SAMPLES, SIZE, BATCH = 10_000, 64, 100


def main() -> None:
    """Composes the pictures, measures them and writes the statistics."""
    source, extractor = Emoji("test"), EXTRACTORS["lite0@128"]()
    statistics = FeatureStatistics(extractor.num_features)
    with ProgressLine(NAME, total=NUM_SAMPLES, done=0, unit_images=1) as progress:
        for start in range(0, NUM_SAMPLES, BATCH):
            numbers = range(start, start + BATCH)
            pictures = [composition(source, i, SIZE, 0, num_samples=NUM_SAMPLES)[1].pixels for i in numbers]
            statistics.update(extractor(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()))
            progress.advance(start + BATCH)
    measured = statistics.gaussian
    known = Gaussian(measured.mu, measured.sigma, NUM_SAMPLES, extractor.name, extractor.weights_sha256)
    Path(PATH).write_bytes(pack(known))


if __name__ == "__main__":
    main()
