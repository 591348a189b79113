"""The course of a search for a front, with runs whose outcome is known beforehand."""

from dataclasses import replace

import pytest

from effdl.search.answer import scatter
from effdl.search.front import FrontStrategy
from effdl.search.goal import Bound, Goal
from effdl.search.models import Models
from effdl.search.trial import Trial


@pytest.fixture
def searched(trials, thinned, dry_run):
    """A factory of searches that ended."""

    def go(goal, int8=(None,), dry_run=dry_run, **row):
        found = trials(goal)
        dense = [thinned(0.0, kind) for kind in int8]
        models = Models(found, [replace(base, row={**base.row, **row}) for base in dense], dry_run)
        FrontStrategy(models, lambda trial: [thinned(trial.plan.filters, kind) for kind in int8], (0.5, 0.75)).go()
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


def test_what_is_aimed_at_is_within_a_bound_on_the_objective(searched):
    found = searched(Goal((Bound("size_bytes", 2000.0),), "size_bytes", 12, against="top1"))
    made = [trial.row["size_bytes"] for trial in found.found if trial.plan.layers]
    assert len(made) >= 8
    assert max(made) < 2200
    assert len(found.front) >= 5


def test_weights_are_pruned_if_a_bound_asks_for_it(searched):
    found = searched(Goal((Bound("size_bytes", 3000.0),), "macs", 12, against="top1"))
    assert len(found.front) >= 3
    assert all(trial.row["size_bytes"] <= 3000 for trial in found.front)
    assert any(trial.plan.layers for trial in found.front)


def test_costs_that_cannot_be_measured_end_the_search(searched):
    assert not searched(Goal((), "latency_ms", 8, against="top1"), latency_part=None).found


def test_integers_and_floats_each_where_they_are_faster(searched):
    found = searched(Goal((), "latency_ms", 12, against="top1"), int8=(False, True)).found
    assert {trial.plan.int8 for trial in found if trial.plan.filters < 0.69} == {True}
    assert {trial.plan.int8 for trial in found if trial.plan.filters > 0.75} == {False}


def test_no_filter_can_go(searched, dry_run):
    found = searched(Goal((), "macs", 8, against="top1"), dry_run=lambda plan: {} if plan.filters else dry_run(plan))
    assert [trial.plan.filters for trial in found.found] == [0.5]  # its run says why


def test_nothing_is_pruned_for_an_accuracy(searched):
    bounds = (Bound("size_bytes", 1e9), Bound("top1", 0.98))
    found = searched(Goal(bounds, "macs", 8, against="top1")).found
    assert any(not trial.holds for trial in found)
    assert not any(trial.plan.layers for trial in found)


def test_the_picture_of_a_front_on_which_no_model_holds(searched):
    found = searched(Goal((Bound("top1", 0.99999),), "macs", 4, against="top1"))
    assert not found.front
    assert scatter(found)["best"]


def test_integers_alone_may_keep_to_a_bound(searched, dry_run):
    def slow_floats(plan):
        part = max(0.4, dry_run(plan)["latency_part"]) if not plan.int8 else 0.25
        return {**dry_run(plan), "latency_ms": part, "latency_part": part}

    goal = Goal((Bound("latency_ms", 0.3),), "macs", 4, against="top1")
    found = searched(goal, int8=(False, True), dry_run=slow_floats).found
    assert found
    assert all(trial.plan.int8 for trial in found)


def test_a_mistake_that_only_runs_find_is_told_once(trials, thinned, dry_run):
    found = trials(Goal((), "macs", 8, against="top1"))
    asked = []

    def refuse(plan, sizes):
        asked.append(plan)
        found.found.append(Trial("", plan, None, {}, False, "a typo", refused=True))
        return found.found[-1]

    found.add = refuse
    FrontStrategy(Models(found, [thinned()], dry_run), lambda trial: []).go()
    assert len(asked) == 1
