"""The cost of the model to train next."""

import math

import pytest

from effdl.search.gaps import widest_gap


def test_the_middle_of_the_gap_with_most_to_gain():
    found = {100.0: 0.8, 200.0: 0.85, 400.0: 0.95}
    assert widest_gap(found, {400.0}, 1.03) == pytest.approx(math.sqrt(200 * 400))  # 0.1 of a doubling, not 0.05
    assert widest_gap({100.0: 0.9, 200.0: 0.9, 800.0: 0.9}, (), 1.03) == 400  # alike: the widest


def test_what_was_aimed_at_divides_a_gap():
    found = {100.0: 0.8, 400.0: 0.9}
    assert widest_gap(found, (), 1.03) == 200
    # Nothing came of 200: up to there the best is 0.8, so all of the gain is above it.
    assert widest_gap(found, {200.0}, 1.03) == pytest.approx(math.sqrt(200 * 400))


def test_a_surpassed_model_does_not_count():
    assert widest_gap({100.0: 0.9, 200.0: 0.5, 400.0: 0.95}, (), 1.03) == pytest.approx(math.sqrt(200 * 400))


def test_far_below_the_best_differences_do_not_matter():
    found = {10.0: 0.1, 100.0: 0.6, 1000.0: 0.95}
    assert widest_gap(found, (), 1.03) == pytest.approx(math.sqrt(100 * 1000))
    assert widest_gap({1.0: 0.95}, {0.01}, 1.03) == pytest.approx(0.1)


def test_no_gap_is_left():
    assert widest_gap({100.0: 0.9, 102.0: 0.95}, (), 1.03) is None


def test_nothing_is_known_yet():
    assert widest_gap({}, {100.0, 400.0}, 1.03) == pytest.approx(200)


def test_costs_that_are_not_above_0_do_not_count():
    assert widest_gap({0.0: 0.5, 100.0: 0.8, 400.0: 0.9}, {-3.0}, 1.03) == pytest.approx(200)
