"""Statistics over seeds against printed tables and closed forms."""

import math

import pytest

from sclgan.experiments.tables.seeds import interval, paired_test


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_the_interval_has_the_quantiles_of_printed_tables(degrees, quantile):
    values = [0.0] * degrees + [1.0]
    mean = 1 / (degrees + 1)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / degrees)
    found = interval(values)
    assert found is not None
    low, high = found
    assert (high - low) / 2 == pytest.approx(quantile * deviation / math.sqrt(degrees + 1), rel=3e-4)
    assert (low + high) / 2 == pytest.approx(mean)


def test_the_paired_test_by_hand():
    # differences 1, 2, 0: mean 1, deviation 1, t = sqrt 3; with 2 degrees the p-value is 1 - t / sqrt(t^2 + 2)
    assert paired_test([2.0, 4.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(1 - math.sqrt(3 / 5))
    assert paired_test([1.0, 2.0, 3.0], [2.0, 4.0, 3.0]) == pytest.approx(1 - math.sqrt(3 / 5))
    assert paired_test([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]) == 1
    assert paired_test([2.0, 3.0, 5.0], [1.0, 2.0, 4.0]) == 0


def test_few_seeds_have_no_interval_and_no_test():
    assert interval([1.0]) is None
    assert interval([1.0, 1.0]) == (1.0, 1.0)
    assert paired_test([1.0, 2.0], [2.0, 3.0]) is None
