"""The course of a search, with runs whose outcome is known beforehand."""

from dataclasses import replace

import pytest

from effdl.search.goal import Bound, Goal
from effdl.search.models import Models
from effdl.search.plan import compressed, stored_bytes
from effdl.search.strategy import Strategy
from effdl.search.trial import Trial


@pytest.fixture
def strategy(thinned, dry_run):
    """A factory of strategies that go."""

    def go(found, ladder=(0.5, 0.75), bases=None, dry_run=dry_run):
        made = bases or (lambda filters=0.0: [thinned(filters)])
        Strategy(Models(found, made(), dry_run), lambda trial: made(trial.plan.filters), ladder).go()
        return found

    return go


@pytest.fixture
def searched(trials, strategy):
    """A factory of searches that ended."""
    return lambda goal, **kwargs: strategy(trials(goal), **kwargs)


def test_the_smallest_file_with_an_accuracy(searched, base):
    goal = Goal((Bound("top1", 0.97),), "size_bytes", 20)
    found = searched(goal)
    best = found.best
    assert best.row["val_top1"] >= 0.97
    # Nothing that was tried and is 3 % smaller keeps to the bound, and the bound is nearly used up.
    assert all(trial.row["size_bytes"] >= best.row["size_bytes"] for trial in found.found if trial.holds)
    assert best.row["val_top1"] < 0.98
    assert best.row["size_bytes"] < base().row["size_bytes"] / 8


def test_filters_are_removed_where_that_is_better(searched, base):
    goal = Goal((Bound("top1", 0.95),), "size_bytes", 30)
    with_filters, without = searched(goal), searched(goal, ladder=())
    assert with_filters.best.row["size_bytes"] < without.best.row["size_bytes"]
    assert with_filters.best.plan.filters > 0


def test_the_best_answers_within_a_size(searched, base):
    goal = Goal((Bound("size_bytes", 3000.0),), "top1", 8)
    found = searched(goal)
    assert found.best.row["size_bytes"] <= 3000
    assert found.best.row["val_top1"] == max(t.row["val_top1"] for t in found.found if t.row["size_bytes"] <= 3000)


def test_a_budget_that_was_left_unused_is_used(trials, base, strategy):
    found = trials(Goal((Bound("size_bytes", 3000.0),), "top1", 12))
    add = found.add

    def smaller_than_predicted(plan, sizes):
        trial, untrained = add(plan, sizes), stored_bytes(compressed(base().model, plan.layers), {})
        row = {**trial.row, "size_bytes": 0.8 * untrained}
        found.found[-1] = replace(trial, row=row, holds=found.goal.holds(row))
        return found.found[-1]

    found.add = smaller_than_predicted
    strategy(found, ladder=())
    first, second = found.found[:2]
    assert first.row["size_bytes"] < 2400
    assert 1.1 * first.row["size_bytes"] < second.row["size_bytes"] <= 3000
    assert replace(found.best.plan, longer=False).digest == second.plan.digest


def test_no_more_filters_are_removed_than_shapes_are_bound_to(searched, base):
    goal = Goal((Bound("macs", 0.3 * base().row["macs"]),), "top1", 12)
    found = searched(goal)
    assert found.best.row["macs"] <= 0.3 * base().row["macs"]
    assert found.best.plan.filters == pytest.approx(0.7, abs=0.02)  # the widths of these models are whole numbers


def test_the_least_latency_with_an_accuracy_and_a_size(searched, base):
    goal = Goal((Bound("top1", 0.97), Bound("size_bytes", 4000.0)), "latency_ms", 30)
    found = searched(goal)
    assert found.best.row["val_top1"] >= 0.97
    assert found.best.row["size_bytes"] <= 4000
    held = [trial.plan.filters for trial in found.found if trial.holds and not trial.plan.longer]
    assert max(held) == pytest.approx(0.875, abs=0.01)  # three halvings cost all that the bound leaves
    assert found.best.plan.longer
    assert found.best.plan.filters > max(held)


def test_shapes_are_bound_too(searched, base):
    goal = Goal((Bound("top1", 0.95), Bound("latency_ms", 0.5)), "size_bytes", 12)
    found = searched(goal)
    assert found.best.row["latency_ms"] <= 0.5
    assert not any(trial.plan.layers and not trial.plan.filters for trial in found.found)


def test_what_is_impossible_ends_with_the_nearest(searched, base):
    goal = Goal((Bound("top1", 0.999), Bound("size_bytes", 1000.0)), "params_nonzero", 9)
    found = searched(goal)
    assert found.best is None
    assert len(found.found) <= 9
    excess = [goal.worst(trial.row).excess(trial.row) for trial in found.found]
    assert goal.worst(found.nearest.row).excess(found.nearest.row) == min(excess)


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_no_more_trials_than_allowed(searched, limit):
    assert len(searched(Goal((Bound("top1", 0.97),), "size_bytes", limit)).found) == limit


def test_the_same_search_twice_is_the_same(searched, base):
    goal = Goal((Bound("top1", 0.97),), "size_bytes", 10)
    one, other = (searched(goal).found for _ in range(2))
    assert [trial.plan for trial in one] == [trial.plan for trial in other]


def test_a_model_that_missed_with_more_is_not_tried_with_less(trials, base, strategy):
    found = trials(Goal((Bound("top1", 0.96),), "size_bytes", 20))
    add = found.add

    def worse_than_predicted(plan, sizes):
        trial = add(plan, sizes)
        if plan.layers and not plan.filters:
            found.found[-1] = trial = replace(trial, holds=False)
        return trial

    found.add = worse_than_predicted
    strategy(found, ladder=(0.5,))
    assert found.best.plan.filters == 0.5
    assert sum(bool(trial.plan.layers and trial.plan.filters) for trial in found.found) > 3
    sizes = [t.plan.predicted["size_bytes"] for t in found.found if t.plan.layers and not t.plan.filters]
    assert len(sizes) > 1
    assert sizes == sorted(sizes)


def test_while_another_process_trains_a_model_a_larger_one_is_tried(trials, base, strategy):
    found = trials(Goal((Bound("top1", 0.97),), "size_bytes", 20))
    add, asked = found.add, []

    def elsewhere(plan, sizes):
        if plan.layers:
            asked.append(plan.predicted["size_bytes"])
        return Trial("", plan, None, {}, False) if len(asked) == 1 else add(plan, sizes)

    found.add = elsewhere
    strategy(found, ladder=())
    assert asked[1] > asked[0] * 1.2


@pytest.fixture
def with_int8(searched, thinned):
    """A factory of searches whose dense model is timed where integers run."""
    return lambda goal: searched(goal, bases=lambda filters=0.0: [thinned(filters, int8) for int8 in (False, True)])


def test_integers_are_taken_where_they_are_faster(with_int8):
    """They are with all filters, so models are made of them; the best one, which is narrow, is faster in floats."""
    found = with_int8(Goal((Bound("top1", 0.97),), "latency_ms", 20))
    first, *others, last = found.found
    assert (first.plan.filters, first.plan.int8, first.row["latency_part"]) == (0.0, True, 0.8)
    assert all(trial.plan.int8 for trial in others)
    assert not last.plan.int8
    assert found.best is last
    assert last.plan.filters == max(trial.plan.filters for trial in others if trial.holds)


def test_integers_shrink_what_must_be_fast(searched, with_int8, thinned):
    goal = Goal((Bound("top1", 0.96), replace(Bound("latency_ms", 0.45), column="latency_part")), "size_bytes", 20)
    found = with_int8(goal)
    assert found.best.plan.int8
    floats = searched(goal, bases=lambda filters=0.0: [thinned(filters, int8=False)])
    assert found.best.row["latency_part"] <= 0.45
    assert found.best.row["size_bytes"] < floats.best.row["size_bytes"]
    assert len({trial.plan.digest for trial in found.found}) == len(found.found)  # none is made twice


def test_as_few_filters_are_removed_from_integers_as_must(with_int8):
    found = with_int8(Goal((Bound("latency_ms", 0.4),), "top1", 20))
    assert found.best.plan.int8
    assert found.best.plan.filters == pytest.approx(0.5, abs=0.03)  # of floats, 0.6 would go


def test_filters_are_removed_if_the_dense_model_is_too_slow_however_few_trials_there_are(searched, with_int8):
    goal = Goal((Bound("top1", 0.95), Bound("latency_ms", 0.32)), "size_bytes", 2)
    floats, integers = with_int8(goal).found
    assert (floats.plan.int8, integers.plan.int8) == (False, True)
    assert floats.plan.filters == integers.plan.filters == pytest.approx(0.61, abs=0.01)  # enough for integers
    assert searched(goal).found[0].plan.filters == pytest.approx(0.7, abs=0.01)


def test_what_missed_by_little_is_trained_longer(searched):
    goal = Goal((Bound("top1", 0.97),), "size_bytes", 20)
    found = searched(goal)
    best, tried = found.best, {trial.plan.digest: trial for trial in found.found}
    assert best.plan.longer
    before = tried[replace(best.plan, longer=False).digest]
    assert not before.holds
    assert best.row["val_top1"] == pytest.approx(before.row["val_top1"] + 0.005)
    assert found.asked[best.plan.digest] == found.asked[before.plan.digest]  # of the layers that are left
    assert found.asked[best.plan.digest] != found.asked[found.found[0].plan.digest]
    held = [trial for trial in found.found if trial.holds and not trial.plan.longer]
    assert best.row["size_bytes"] < min(trial.row["size_bytes"] for trial in held)


def test_trials_are_kept_for_longer_training(searched):
    found = searched(Goal((Bound("top1", 0.97),), "size_bytes", 6)).found
    assert [trial.plan.longer for trial in found] == [False] * 5 + [True]


def test_the_best_answers_are_trained_longer(searched):
    found = searched(Goal((Bound("macs", 2000.0),), "top1", 12)).found
    assert [(trial.plan.longer, trial.holds) for trial in found] == [(False, True), (True, True)]
    assert found[0].plan.filters == found[1].plan.filters > 0.5


def test_shapes_that_cannot_hold_take_no_trial(searched, base):
    goal = Goal((Bound("top1", 0.9), Bound("macs", 0.2 * base().row["macs"])), "size_bytes", 12)
    found = searched(goal).found
    assert all(trial.row["macs"] <= goal.bounds[1].value for trial in found)
    assert found[0].plan.filters == pytest.approx(0.8, abs=0.03)


def test_a_plan_from_which_no_training_comes_back_is_not_tried(trials, strategy, thinned):
    found = trials(Goal((Bound("top1", 0.9),), "size_bytes", 12))

    def bases(filters=0.0):
        made = thinned(filters)
        harmed = [replace(table, losses=table.losses + 30 * (table.losses > 0.1)) for table in made.tables]
        return [replace(made, tables=harmed)]

    strategy(found, bases=bases)
    assert found.best
    assert all(trial.plan.predicted["val_loss"] < 20 for trial in found.found if trial.plan.layers)


def test_other_fractions_of_filters_that_leave_the_same_are_not_tried(searched):
    found = searched(Goal((Bound("top1", 0.95),), "macs", 30)).found
    macs = [trial.row["macs"] for trial in found if not trial.plan.longer]
    assert len(set(macs)) == len(macs) > 3


@pytest.mark.parametrize("objective", ["size_bytes", "macs", "top1"])
def test_a_model_without_filters_that_could_go(searched, dry_run, objective):
    """One run is made, which says why: the dense model itself is never trained as a trial."""
    bounds = (Bound("macs", 1000.0), Bound("top1" if objective != "top1" else "params", 0.5))
    found = searched(Goal(bounds, objective, 12), dry_run=lambda plan: {} if plan.filters else dry_run(plan)).found
    assert [(trial.plan.filters, trial.holds) for trial in found] == [(0.5, False)]


def test_bounds_that_no_shape_keeps_take_one_trial(searched):
    for objective in ("size_bytes", "macs", "top1"):
        found = searched(Goal((Bound("macs", 1.0),), objective, 12)).found
        assert len(found) == 1
        assert found[0].plan.filters > 0.97


def test_a_time_that_just_keeps_to_a_bound_is_not_relied_on(searched):
    found = searched(Goal((Bound("latency_ms", 0.5),), "top1", 12)).found
    assert found[0].row["latency_ms"] == pytest.approx(0.475, abs=0.02)
