"""Feature statistics and the Frechet distance: closed forms, torchmetrics, merging, ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from ranks import run_on_ranks
from sclgan.distributed import rank
from sclgan.metrics.frechet import frechet_distance
from sclgan.metrics.statistics import FeatureStatistics


def features(num_samples: int, num_features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator)
    return torch.randn(num_samples, num_features, generator=generator) @ mixing + 3 * torch.rand(1, generator=generator)


def statistics_of(*batches: Tensor) -> FeatureStatistics:
    statistics = FeatureStatistics(batches[0].shape[1])
    for batch in batches:
        statistics.update(batch)
    return statistics


def assert_same(a: FeatureStatistics, b: FeatureStatistics) -> None:
    assert a.num_samples == b.num_samples
    torch.testing.assert_close(a.mu, b.mu, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(a.sigma, b.sigma, rtol=1e-10, atol=1e-10)


def test_mean_and_covariance_are_those_of_numpy() -> None:
    rows = features(50, 7)
    statistics = statistics_of(rows)
    np.testing.assert_allclose(statistics.mu, rows.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.sigma, np.cov(rows.double().numpy(), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_batch_size_does_not_matter(batch_size: int) -> None:
    rows = features(50, 7)
    assert_same(statistics_of(*torch.split(rows, batch_size)), statistics_of(rows))


def test_a_large_mean_costs_no_precision() -> None:
    rows = features(200, 3).double()
    near, far = statistics_of(*torch.split(rows, 10)), statistics_of(*torch.split(rows + 1e6, 10))
    torch.testing.assert_close(near.sigma, far.sigma, rtol=1e-6, atol=1e-6)


def test_merged_parts_are_the_whole() -> None:
    rows = features(50, 7)
    merged = FeatureStatistics(7)
    for part in (rows[:20], rows[20:21], rows[21:]):
        merged.merge(statistics_of(part))
    merged.merge(FeatureStatistics(7))
    assert_same(merged, statistics_of(rows))


def merged_over_ranks(cases: list[list[Tensor]]) -> list[tuple[int, Tensor, Tensor]]:
    wholes = [statistics_of(parts[rank()]).over_ranks() for parts in cases]
    return [(whole.num_samples, whole.mu, whole.sigma) for whole in wholes]


def test_ranks_give_the_statistics_of_one_process() -> None:
    rows = features(40, 5)
    whole = statistics_of(rows)
    for results in run_on_ranks(merged_over_ranks, 2, [[rows[:11], rows[11:]], [rows, rows[:0]]]):
        for num_samples, mu, sigma in results:
            assert num_samples == 40
            torch.testing.assert_close(mu, whole.mu, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(sigma, whole.sigma, rtol=1e-10, atol=1e-10)


def test_saved_statistics_come_back(tmp_path: Path) -> None:
    statistics = statistics_of(features(30, 4))
    statistics.save(tmp_path / "reals.npz")
    loaded = FeatureStatistics.load(tmp_path / "reals.npz")
    assert_same(loaded, statistics)
    loaded.update(features(5, 4, seed=1))
    assert loaded.num_samples == 35


def test_statistics_refuse_what_they_cannot_use(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        _ = statistics_of(features(1, 4)).sigma
    with pytest.raises(ValueError, match="4 columns"):
        FeatureStatistics(5).update(features(2, 4))
    with pytest.raises(ValueError, match="cannot merge"):
        FeatureStatistics(5).merge(FeatureStatistics(4))
    with pytest.raises(ValueError, match="NaN or infinite"):
        FeatureStatistics(1).update(torch.tensor([[float("nan")]]))
    np.savez(tmp_path / "foreign.npz", mu=np.zeros(2), sigma=np.eye(2))
    with pytest.raises(ValueError, match="num_samples"):
        FeatureStatistics.load(tmp_path / "foreign.npz")


def test_distance_of_gaussians_with_commuting_covariances() -> None:
    mu = torch.tensor([1.0, -2.0, 0.5])
    a, b = torch.tensor([4.0, 1.0, 0.25]), torch.tensor([1.0, 9.0, 0.0])
    expected = mu.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(mu, a.diag(), torch.zeros(3), b.diag()) == pytest.approx(expected.item(), rel=1e-12)


def test_distance_in_one_dimension() -> None:
    one = torch.ones(1, 1)
    assert frechet_distance(torch.tensor([3.0]), 4 * one, torch.tensor([1.0]), 25 * one) == pytest.approx(4 + 9)


def test_distance_is_zero_to_itself_symmetric_and_invariant_under_rotation() -> None:
    a, b = statistics_of(features(80, 6)), statistics_of(features(80, 6, seed=1))
    distance = frechet_distance(a.mu, a.sigma, b.mu, b.sigma)
    assert frechet_distance(a.mu, a.sigma, a.mu, a.sigma) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(b.mu, b.sigma, a.mu, a.sigma) == pytest.approx(distance, rel=1e-9)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    turned = frechet_distance(turn @ a.mu, turn @ a.sigma @ turn.T, turn @ b.mu, turn @ b.sigma @ turn.T)
    assert turned == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("num_samples", [300, 20])  # 20 samples of 64 features: covariances of rank 19
def test_distance_equals_that_of_torchmetrics(num_samples: int) -> None:
    a, b = statistics_of(features(num_samples, 64)), statistics_of(features(num_samples, 64, seed=1))
    ours = frechet_distance(a.mu, a.sigma, b.mu, b.sigma)
    assert ours == pytest.approx(_compute_fid(a.mu, a.sigma, b.mu, b.sigma).item(), rel=1e-6)


def test_distance_refuses_what_it_cannot_compare() -> None:
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="same extractor"):
        frechet_distance(torch.zeros(2), eye, torch.zeros(3), torch.eye(3))
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(torch.zeros(2), eye, torch.tensor([0.0, float("nan")]), eye)
