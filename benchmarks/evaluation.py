"""The Frechet distance beside SciPy's matrix square root, and folders of pictures beside pytorch-fid.

    python benchmarks/evaluation.py [NUM_PICTURES]            0 measures the distance alone

Both sides of a row run one after the other, several times; printed are medians, and the median of the ratios. CPU
seconds are those of this process and its workers, so that other work on the machine counts little.
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytorch_fid.inception
import scipy.linalg
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance, compute_statistics_of_path
from torch import Tensor, nn
from torchvision.models import Inception3

from sclgan.data.picture_files import PictureFolder
from sclgan.evaluation.batches import pictures_of
from sclgan.evaluation.measured import measure
from sclgan.evaluation.reals import known_statistics
from sclgan.evaluation.results import results_of
from sclgan.features.inception_tf import Inception
from sclgan.features.networks import prepare_tf1
from sclgan.metrics.frechet import frechet_distance, frechet_estimate
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import BlockStatistics, FeatureStatistics

NUM_FEATURES = 2048
SIZE = 299  # no resize: pytorch-fid's differs from TensorFlow's, and both networks are to see the same
TURNS = 3


def seconds_of(compute: Callable[[], float]) -> tuple[float, float, float]:
    """The value, and the seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    value = compute()
    return value, time.perf_counter() - wall, sum(os.times()[:4]) - cpu


def compare(what: str, names: tuple[str, str], ours: Callable[[], float], theirs: Callable[[], float]) -> None:
    """Prints a line: both medians and the ratio."""
    turns = [(seconds_of(ours), seconds_of(theirs)) for _ in range(TURNS)]
    difference = max(abs(a[0] - b[0]) / abs(b[0]) for a, b in turns)
    print(f"\n{what}: relative difference {difference:.1e}")
    for place, name in enumerate(names):
        wall, cpu = (statistics.median(turn[place][kind] for turn in turns) for kind in (1, 2))
        print(f"  {name:<28}{wall:9.2f} s{cpu:9.2f} CPU s")
    for kind, unit in ((1, "clock"), (2, "CPU")):
        print(f"  {statistics.median(b[kind] / a[kind] for a, b in turns):.1f} times as fast by the {unit}")


def gaussian(num_samples: int, seed: int) -> Gaussian:
    """Statistics of features with a falling spectrum, as networks have it."""
    rows = FeatureStatistics(NUM_FEATURES)
    rows.update(features(num_samples, seed))
    return rows.gaussian


def features(num_samples: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(NUM_FEATURES, NUM_FEATURES, generator=generator) * torch.logspace(0, -2, NUM_FEATURES)
    return (torch.randn(num_samples, NUM_FEATURES, generator=generator) @ mixing).relu()


def square_root(a: Gaussian, b: Gaussian) -> float:
    """As pytorch-fid computes it."""
    root = scipy.linalg.sqrtm(a.sigma.numpy() @ b.sigma.numpy())
    return float((a.mu - b.mu).square().sum() + a.sigma.trace() + b.sigma.trace() - 2 * np.trace(root).real)


def distances() -> None:
    """The distance alone, and with its interval."""
    names = ("sclgan", f"SciPy {version('scipy')}, sqrtm")
    full, other, few = gaussian(10_000, 0), gaussian(10_000, 1), gaussian(1_000, 2)
    for what, a, b in (("full rank", full, other), ("1,000 samples on one side", full, few)):
        compare(
            f"Frechet distance, {NUM_FEATURES} features, {what}",
            names,
            partial(frechet_distance, a.mu, a.sigma, b.mu, b.sigma),
            partial(square_root, a, b),
        )
    blocks = BlockStatistics(NUM_FEATURES)
    blocks.update(features(10_000, 1), torch.arange(10_000))
    _, wall, cpu = seconds_of(lambda: frechet_estimate(full, blocks).value)
    print(f"\nwith its interval: {wall:.2f} s, {cpu:.2f} CPU s")


class Random:
    """FID's network with random weights; the speed is that of the published ones."""

    name, weights_sha256, num_features = "inception@tf1", "random", NUM_FEATURES

    def __init__(self, network: Inception3) -> None:
        self.network = Inception(network.state_dict(), poolings="tensorflow")

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(prepare_tf1(chunk)) for chunk in torch.split(images, 8)])


def random_network() -> Inception3:
    """Weights that keep the size of activations."""
    generator = torch.Generator().manual_seed(0)
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
    return network.eval()


def folders(num_pictures: int) -> None:
    """Decode, features, statistics and distance from saved statistics."""
    network = random_network()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder, saved = Path(temporary) / "pictures", Path(temporary) / "reals.npz"
        folder.mkdir()
        for number in range(num_pictures):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
            coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=95)
        extractor = Random(network)

        def ours() -> float:
            pictures = PictureFolder(folder)
            batches = pictures_of(pictures, range(len(pictures)))
            measured = measure(["fid"], batches, extractors={extractor.name: extractor})
            (result,) = results_of(
                measured, known_statistics(measured.protocols, saved, Gaussian.load(saved), measured.extractors)
            )
            return result.value

        with patch.object(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: network.state_dict()):
            their_network = pytorch_fid.inception.InceptionV3([3])
        options = {"batch_size": 50, "dims": NUM_FEATURES, "device": "cpu", "num_workers": min(8, os.cpu_count() or 1)}

        def theirs() -> float:
            with contextlib.redirect_stderr(io.StringIO()):
                mu, sigma = compute_statistics_of_path(str(folder), their_network, **options)
            known = np.load(saved)
            return float(calculate_frechet_distance(mu, sigma, known["mu"], known["sigma"]))

        gaussian(10_000, 3).save(saved)
        compare(
            f"{num_pictures} pictures of {SIZE} px, JPEG",
            ("sclgan, with interval", f"pytorch-fid {version('pytorch-fid')}"),
            ours,
            theirs,
        )


def main() -> None:
    """Prints the lines."""
    print(f"{torch.get_num_threads()} threads")
    distances()
    num_pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    if num_pictures:
        folders(num_pictures)


if __name__ == "__main__":
    main()
