"""The bias of the Frechet distance: the known distance of two Gaussians is found from few samples."""

import pytest
import torch

from ranks import run_on_ranks
from sclgan.distributed import rank, world_size
from sclgan.evaluation.measures import Rows
from sclgan.metrics.curve import NUM_POINTS, bias_curve
from sclgan.metrics.frechet import frechet_distance
from sclgan.metrics.gaussian import Gaussian

WIDTH = 24


def test_the_limit_is_nearer_to_the_true_distance_than_any_value() -> None:
    spread = torch.linspace(0.5, 1.5, WIDTH, dtype=torch.float64)
    reals = Gaussian(torch.zeros(WIDTH, dtype=torch.float64), torch.eye(WIDTH, dtype=torch.float64))
    truth = frechet_distance(torch.full((WIDTH,), 0.1), spread.square().diag(), reals.mu, reals.sigma)
    errors, bias = [], []
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(600, WIDTH, generator=generator, dtype=torch.float64) * spread + 0.1
        curve = bias_curve(rows, reals, seed=seed)
        assert len(curve.values) == NUM_POINTS
        assert curve.num_samples == tuple(sorted(curve.num_samples))
        assert (curve.num_samples[0], curve.num_samples[-1]) == (120, 600)
        assert curve.slope > 0
        assert curve.limit.interval is not None
        assert curve.limit.interval[0] < curve.limit.value < curve.limit.interval[1]
        errors.append(curve.limit.value - truth)
        bias.append(curve.values[-1] - truth)
    assert abs(torch.tensor(errors).mean()) < 0.2 * torch.tensor(bias).mean()


def test_too_few_samples_have_no_curve() -> None:
    with pytest.raises(ValueError, match="at least 10 samples"):
        bias_curve(torch.zeros(7, 2), Gaussian(torch.zeros(2).double(), torch.eye(2).double()))


ROWS = torch.arange(12.0).view(6, 2)


def kept(batches: list[list[int]]) -> torch.Tensor:
    """The features of every rank, of which this one has seen its batches."""
    rows = Rows()
    for numbers in batches[rank() :: world_size()]:
        indices = torch.tensor(numbers)
        rows.add(indices, {"features": ROWS[indices]})
    return rows.over_ranks().whole()["features"]


def test_kept_features_are_in_the_order_of_their_numbers_on_any_number_of_ranks() -> None:
    for batches in ([[4, 1], [5, 0, 3], [2]], [[2, 5, 0, 1, 4, 3]]):
        for rows in [kept(batches), *run_on_ranks(kept, 2, batches)]:
            assert torch.equal(rows, ROWS)
