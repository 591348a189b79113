"""Quantiles of Student's t against printed tables, and the interval of a mean."""

import math

import pytest

from effdl.measure.student_t import mean_interval, t_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        *((0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 3, 3.182), (0.95, 4, 2.776), (0.95, 9, 2.262)),
        *((0.95, 30, 2.042), (0.95, 100, 1.984), (0.99, 4, 4.604), (0.5, 5, 0.727)),
    ],
)
def test_quantiles_are_those_of_printed_tables(probability, degrees, expected):
    assert t_quantile(probability, degrees) == pytest.approx(expected, abs=5e-4)


def test_quantiles_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for degrees in (1, 2, 7, 8, 51, 1000):
        assert t_quantile(0.95, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_the_interval_of_a_mean():
    low, high = mean_interval([0.1, 0.2, 0.3])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (low, high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)
