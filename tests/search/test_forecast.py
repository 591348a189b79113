"""What a plan will have cost after its training."""

import pytest

from effdl.search.forecast import accuracies, accuracy_lost, expected, halvings


def test_while_nothing_is_known_it_is_the_usual():
    assert accuracy_lost(0.4, []) == pytest.approx(0.02)
    assert accuracy_lost(2, [], usual=0.01) == pytest.approx(0.02)


def test_between_known_plans_and_beyond():
    known = [(1.0, 0.04), (0.0, -0.01), (3.0, 0.12)]
    assert accuracy_lost(0.0, known) == pytest.approx(-0.01)  # training goes on, and gains
    assert accuracy_lost(0.5, known) == pytest.approx(0.015)
    assert accuracy_lost(2.0, known) == pytest.approx(0.08)
    assert accuracy_lost(5.0, known) == pytest.approx(0.2)  # 0.12 / 3 for each nat


def test_a_plan_that_harms_more_is_not_expected_to_be_better():
    known = [(1.0, 0.03), (2.0, 0.01)]  # by chance
    assert accuracy_lost(1.0, known) == accuracy_lost(2.0, known) == pytest.approx(0.02)
    assert accuracy_lost(4.0, known) == pytest.approx(0.04)


def test_one_that_gained_says_nothing_of_what_is_lost_beyond():
    assert accuracy_lost(1.0, [(0.5, -0.01)]) == pytest.approx(-0.01)


def test_halvings():
    assert halvings(0.0) == 0
    assert halvings(0.75) == 2


def test_only_validation_is_read():
    assert accuracies({"val_top1": 0.9, "val_top5": None, "top1": 0.8}) == {"val_top1": 0.9}


def test_a_plan_that_harms_less_than_any_before():
    assert accuracy_lost(0.5, [(5.0, 0.2)]) == pytest.approx(0.02)


def test_no_accuracy_is_beyond_its_ends():
    assert (expected(0.99, -0.02), expected(0.3, 0.5), expected(0.9, 0.1)) == (1.0, 0.0, pytest.approx(0.8))
