"""The score interval against published values and its own equation."""

import pytest

from effdl.measure.wilson import wilson


@pytest.mark.parametrize(("count", "total", "low", "high"), [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)
])  # fmt: skip
def test_the_examples_of_newcombe(count, total, low, high):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert wilson(count, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("count", "total"), [(2, 6), (50, 99), (97, 99)])
def test_the_ends_are_where_the_score_is_z(count, total):
    for end in wilson(count, total):
        assert abs(count / total - end) / (end * (1 - end) / total) ** 0.5 == pytest.approx(1.959964, abs=1e-6)


def test_none_and_all_stay_within_the_range():
    assert wilson(0, 3)[0] == 0
    assert wilson(3, 3)[1] == 1
