"""The course of a search for a front, with runs whose outcome is known beforehand."""

import pytest

from effdl.search.front import FrontStrategy
from effdl.search.goal import Bound, Goal
from effdl.search.models import Models


@pytest.fixture
def searched(trials, thinned, dry_run):
    """A factory of searches that ended."""

    def go(goal):
        found = trials(goal)
        models = Models(found, [thinned()], dry_run)
        FrontStrategy(models, lambda trial: [thinned(trial.plan.filters)], (0.5, 0.75)).go()
        return found

    return go


def test_sizes_between_the_dense_model_and_the_least(searched):
    found = searched(Goal((), "size_bytes", 10, against="top1"))
    sizes = [trial.row["size_bytes"] for trial in found.front]
    answers = [trial.row["val_top1"] for trial in found.front]
    assert len(found.found) == 10
    assert len(sizes) >= 5
    assert sizes == sorted(sizes)
    assert answers == sorted(answers)
    assert sizes[-1] > 5 * sizes[0]
    assert answers[-1] >= 0.99


def test_bounds_hold_on_the_front(searched):
    found = searched(Goal((Bound("top1", 0.95), Bound("macs", 2500.0)), "size_bytes", 8, against="top1"))
    assert all(trial.row["val_top1"] >= 0.95 and trial.row["macs"] <= 2500 for trial in found.front)
    assert found.front


@pytest.mark.parametrize("objective", ["macs", "latency_ms"])
def test_shapes_in_between(searched, objective):
    found = searched(Goal((), objective, 8, against="top1"))
    filters = [trial.plan.filters for trial in found.front]
    assert len(filters) == len(found.found) == 8
    assert filters == sorted(filters, reverse=True)
    assert filters[0] > 0.9
    assert filters[-1] < 0.5
    assert not any(trial.plan.layers for trial in found.found)


def test_it_ends_when_nothing_is_left_to_aim_at(searched):
    assert len(searched(Goal((), "macs", 100, against="top1")).found) < 64  # widths of one layer of 64
