"""The Frechet distance and its interval: closed forms, recognised implementations, invariances, coverage."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from sclgan.metrics import frechet
from sclgan.metrics.frechet import frechet_distance, frechet_estimate
from sclgan.metrics.gaussian import Gaussian
from sclgan.metrics.statistics import NUM_BLOCKS, BlockStatistics, FeatureStatistics


def features(num_samples: int, num_features: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(num_features, num_features, generator=generator)
    return torch.randn(num_samples, num_features, generator=generator) @ mixing + 3 * torch.rand(1, generator=generator)


def gaussian(rows: Tensor) -> Gaussian:
    statistics = FeatureStatistics(rows.shape[1])
    statistics.update(rows)
    return statistics.gaussian


def distance(a: Gaussian, b: Gaussian) -> float:
    return frechet_distance(a.mu, a.sigma, b.mu, b.sigma)


def test_distance_of_gaussians_with_commuting_covariances() -> None:
    mu = torch.tensor([1.0, -2.0, 0.5])
    a, b = torch.tensor([4.0, 1.0, 0.25]), torch.tensor([1.0, 9.0, 0.0])
    expected = mu.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(mu, a.diag(), torch.zeros(3), b.diag()) == pytest.approx(expected.item(), rel=1e-12)


def test_distance_in_one_dimension() -> None:
    one = torch.ones(1, 1)
    assert frechet_distance(torch.tensor([3.0]), 4 * one, torch.tensor([1.0]), 25 * one) == pytest.approx(4 + 9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.tuples(st.integers(2, 40), st.integers(2, 40)), width=st.integers(1, 12))
def test_distance_is_a_distance_of_the_sets_alone(seed: int, rows: tuple[int, int], width: int) -> None:
    x, y = (features(n, width, seed=seed + i).double() for i, n in enumerate(rows))
    value = distance(gaussian(x), gaussian(y))
    near: dict[str, Any] = {"rel": 1e-7, "abs": 1e-7 * float(x.square().sum() + y.square().sum())}
    assert value >= -near["abs"]
    assert distance(gaussian(x), gaussian(x)) == pytest.approx(0, abs=near["abs"])
    assert distance(gaussian(y), gaussian(x)) == pytest.approx(value, **near)
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    shift = torch.randn(width, generator=generator, dtype=torch.float64)
    assert distance(gaussian(x @ turn + shift), gaussian(y @ turn + shift)) == pytest.approx(value, **near)
    assert distance(gaussian(3 * x), gaussian(3 * y)) == pytest.approx(9 * value, **near)
    order = torch.randperm(len(x), generator=generator)
    assert distance(gaussian(x[order]), gaussian(y)) == pytest.approx(value, **near)


@pytest.mark.parametrize("num_samples", [(300, 300), (20, 20), (300, 20), (20, 300)])  # of 64 features
def test_distance_equals_those_of_torchmetrics_and_torch_fidelity(num_samples: tuple[int, int]) -> None:
    a, b = (gaussian(features(n, 64, seed=seed)) for seed, n in enumerate(num_samples))
    ours = distance(a, b)
    assert ours == pytest.approx(_compute_fid(a.mu, a.sigma, b.mu, b.sigma).item(), rel=1e-6)
    theirs = [{"mu": one.mu.numpy(), "sigma": one.sigma.numpy()} for one in (a, b)]
    assert ours == pytest.approx(fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"], rel=1e-6)


@pytest.mark.parametrize("block", [256, 13])
def test_distance_equals_that_of_the_matrix_square_root(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frechet, "TRIANGLE_BLOCK", block)
    a, b = gaussian(features(300, 64)), gaussian(features(300, 64, seed=1))
    root = sqrtm(a.sigma.numpy() @ b.sigma.numpy())  # as pytorch-fid computes it
    expected = (a.mu - b.mu).square().sum() + a.sigma.trace() + b.sigma.trace() - 2 * np.trace(root).real
    assert distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_distance_of_few_samples_is_exact() -> None:
    """Covariances of rank 9 in 64 dimensions, of which one is the other moved within its own range."""
    rows = features(10, 64).double()
    a, b = gaussian(rows), gaussian(3 * rows + 1)
    spread = a.sigma.trace() * (3 - 1) ** 2
    assert distance(a, b) == pytest.approx(float((a.mu - b.mu).square().sum() + spread), rel=1e-10)


def test_a_feature_that_never_changes_counts_with_its_mean_alone() -> None:
    rows, others = features(50, 6), features(50, 6, seed=1)
    still = torch.full((50, 1), 2.0)
    expected = distance(gaussian(rows), gaussian(others)) + 9
    wider = distance(gaussian(torch.cat([rows, still], 1)), gaussian(torch.cat([others, still + 3], 1)))
    assert wider == pytest.approx(expected, rel=1e-9)


def test_distance_refuses_what_it_cannot_compare() -> None:
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="same extractor"):
        frechet_distance(torch.zeros(2), eye, torch.zeros(3), torch.eye(3))
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(torch.zeros(2), eye, torch.tensor([0.0, float("nan")]), eye)


def blocks_of(rows: Tensor) -> BlockStatistics:
    blocks = BlockStatistics(rows.shape[1])
    blocks.update(rows, torch.arange(len(rows)))
    return blocks


def test_the_interval_is_as_wide_as_the_values_of_many_draws_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    reals = gaussian(torch.randn(20_000, 6, generator=generator) @ mixing)
    draws = [torch.randn(400, 6, generator=generator) @ mixing * 1.3 + 0.5 for _ in range(150)]
    estimates = [frechet_estimate(reals, blocks_of(rows)) for rows in draws]
    values = np.array([estimate.value for estimate in estimates])
    assert values[0] == pytest.approx(distance(reals, gaussian(draws[0])), rel=1e-12)
    covered = np.mean([low <= values.mean() <= high for low, high in (e.interval for e in estimates if e.interval)])
    assert 0.9 <= covered <= 0.99
    assert f"jackknife over {NUM_BLOCKS} blocks" in estimates[0].kind


def test_there_is_no_interval_where_a_block_is_too_small() -> None:
    reals = gaussian(features(50, 3))
    assert frechet_estimate(reals, blocks_of(features(2 * NUM_BLOCKS - 1, 3))).interval is None
    assert frechet_estimate(reals, blocks_of(features(2 * NUM_BLOCKS, 3))).interval is not None


def test_the_interval_of_samples_fewer_than_features_is_finite_and_holds_the_value() -> None:
    estimate = frechet_estimate(gaussian(features(100, 40)), blocks_of(features(30, 40, seed=1)))
    assert estimate.interval is not None
    low, high = estimate.interval
    assert 0 < low < estimate.value < high < 2 * estimate.value
