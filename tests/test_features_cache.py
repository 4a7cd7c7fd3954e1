"""Features that are kept: computed once, the same bits, never those of other pictures or other weights."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sclgan.features import cache
from sclgan.features.cache import Cached, cache_folder, cached_fit
from sclgan.metrics.probe import fit


class Counting:
    """An extractor that counts how many pictures it has seen."""

    name: str = "counting"
    num_features: int = 3

    def __init__(self, weights_sha256: str = "0" * 64) -> None:
        self.weights_sha256, self.num_seen = weights_sha256, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.num_seen += len(images)
        return images.float().mean((2, 3)) / 7


def pictures(seed: int, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8, generator=generator)


def test_the_same_pictures_are_measured_once_and_others_anew(tmp_path: Path) -> None:
    extractor = Counting()
    first = Cached(extractor, tmp_path)(pictures(0))
    assert torch.equal(first, extractor(pictures(0)))
    extractor.num_seen = 0
    again = Cached(extractor, tmp_path)
    assert torch.equal(again(pictures(0)), first)
    assert extractor.num_seen == 0
    again(pictures(1))
    again(pictures(0).view(5, 3, 2, 8))  # the same bytes in another shape
    assert extractor.num_seen == 10
    other = Counting("1" * 64)
    Cached(other, tmp_path)(pictures(0))
    assert other.num_seen == 5


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    extractor = Counting()
    keeping = Cached(extractor, tmp_path)
    features = keeping(pictures(0))
    (path,) = tmp_path.rglob("*.npy")
    claims = path.read_bytes().replace(b"(5, 3), ", b"(9999999999, 999), ".ljust(8)).replace(b" " * 11, b"", 1)
    for damaged in (path.read_bytes()[:-4], b"", b"no array", claims):
        path.write_bytes(damaged)
        assert torch.equal(keeping(pictures(0)), features)
    np.save(path, np.zeros((4, 3), dtype=np.float32))
    assert torch.equal(keeping(pictures(0)), features)


def test_a_classifier_is_fitted_once_to_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    monkeypatch.setattr(cache, "fit", lambda *rows: fits.append(1) or fit(*rows))
    features, labels = pictures(0).float().flatten(1), torch.tensor([4, 4, 9, 9, 2])
    first = cached_fit(features, labels, tmp_path)
    again = cached_fit(features, labels, tmp_path)
    assert len(fits) == 1
    assert all(torch.equal(part, vars(again)[name]) for name, part in vars(first).items())
    cached_fit(features, labels + 1, tmp_path)
    cached_fit(features + 1, labels, tmp_path)
    assert len(fits) == 3
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-4])
    assert torch.equal(cached_fit(features, labels, tmp_path).weight, first.weight)
    cached_fit(features, labels, None)
    assert len(fits) == 5


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        features = Cached(Counting(), tmp_path / "file")(pictures(0))
    assert torch.equal(features, Counting()(pictures(0)))
    assert "cannot be cached" in caplog.text


def test_the_folder_is_where_the_user_says(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCLGAN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "features"
    monkeypatch.delenv("SCLGAN_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "sclgan" / "features"
