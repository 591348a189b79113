"""The runs of a search: limits, what is best, what a failure means."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from effdl.search.choices import Choice
from effdl.search.goal import Bound, Goal
from effdl.search.plan import Plan
from effdl.search.study import Study
from effdl.search.trial import Trial, cost_of
from effdl.search.trials import Trials
from effdl.utils.errors import RunError, UserError
from effdl.utils.locks import locked

GOAL = Goal((Bound("top1", 0.9), Bound("macs", 100.0)), "size_bytes", 3, hours=1.0, co2eq_g=5.0)
WEIGHTS = Plan(layers={"0": Choice(0.5, 4)})


def trials(tmp_path, run=None, rows=()):
    common = ["model=mlp", "compression.lsq.lr_scale=0.1"]
    found = Trials(run, tmp_path, GOAL, common, 2, lambda trial: None, Study("sqlite://", "one"))
    found.found += [Trial(f"{n}", Plan(), tmp_path, row, GOAL.holds(row)) for n, row in enumerate(rows)]
    return found


def test_a_search_ends_with_its_last_trial(tmp_path):
    def run(overrides):
        raise RunError("not today")

    found = trials(tmp_path, run)
    for filters in (0.1, 0.2, 0.2, 0.3):  # one of them twice
        found.add(Plan(filters=filters), {"0": 10})
    assert [trial.name for trial in found.found] == ["trial-01", "trial-02", "trial-02", "trial-03"]
    assert not found.may_go_on
    assert found.add(Plan(filters=0.4), {"0": 10}).reason == "no more trials are allowed"
    assert len(found.found) == 4


@pytest.mark.parametrize(
    ("costs", "spent"),
    [({"duration_s": 3599.0, "co2eq_g": 4.9}, False), ({"duration_s": 3600.0}, True), ({"co2eq_g": 5.0}, True)],
)
def test_a_search_ends_when_all_is_spent(tmp_path, costs, spent):
    def run(overrides):
        raise RunError("it began")

    found = replace(trials(tmp_path, run), before=costs)
    assert found.add(WEIGHTS, {"0": 10}).reason == ("limit.hours or limit.co2eq_g is reached" if spent else "it began")
    assert found.may_go_on is not spent


def test_the_best_keeps_to_all_bounds_and_the_nearest_misses_least(tmp_path):
    rows = [
        {"val_top1": 0.95, "macs": 90, "size_bytes": 500},
        {"val_top1": 0.90, "macs": 100, "size_bytes": 400},
        {"val_top1": 0.89, "macs": 10, "size_bytes": 100},
        {"val_top1": 0.99, "macs": 150, "size_bytes": 50},
    ]
    assert trials(tmp_path, rows=rows).best.name == "1"
    assert trials(tmp_path, rows=rows[2:]).best is None
    assert trials(tmp_path, rows=rows[2:]).nearest.name == "0"  # 0.01 below is nearer than half above
    assert trials(tmp_path).nearest is None


def test_a_run_that_fails_is_a_trial_that_does_not_hold(tmp_path):
    def run(overrides):
        raise RunError("the loss is not finite")

    found = trials(tmp_path, run)
    trial = found.add(WEIGHTS, {"0": 10})
    assert (trial.holds, trial.reason, found.best, found.nearest) == (False, "the loss is not finite", None, None)


def test_overrides_that_fit_no_plan_end_the_search(tmp_path):
    def run(overrides):
        raise UserError("optimizer.lrr is not a key")

    found = trials(tmp_path, run)
    assert found.add(Plan(filters=0.9), {"0": 10}).reason  # so many filters may be more than can be removed
    with pytest.raises(UserError, match="lrr"):
        found.add(WEIGHTS, {"0": 10})


def test_keys_of_a_method_are_given_to_runs_that_use_it(tmp_path):
    seen = []

    def run(overrides):
        seen.append(overrides)
        raise RunError("not today")

    found = trials(tmp_path, run)
    found.add(Plan(filters=0.5), {"0": 10})
    found.add(WEIGHTS, {"0": 10})
    assert ["compression.lsq.lr_scale=0.1" in overrides for overrides in seen] == [False, True]


def test_a_cost_is_that_of_training_and_measuring():
    stage = {"duration_s": 3.0, "evaluate_duration_s": 1.0, "energy_kwh": None, "evaluate_energy_kwh": 2.0}
    found = cost_of([stage, stage])
    assert (found["duration_s"], found["energy_kwh"], found["co2eq_g"]) == (8.0, 4.0, 0.0)


def test_what_is_impossible_takes_no_trial(tmp_path):
    def run(overrides):
        raise UserError("so many filters cannot be removed") if "prune=0.9" in overrides else RunError("not today")

    found = trials(tmp_path, run)
    for filters in (0.9, 0.1, 0.2, 0.3):
        assert found.may_go_on
        found.add(Plan(filters=filters), {"0": 10})
    assert [trial.refused for trial in found.found] == [True, False, False, False]
    assert not found.may_go_on
    assert found.models == []


def test_what_another_process_trains_is_not_waited_for(tmp_path):
    def run(overrides):
        began.append(Path(overrides[-2].strip("'")).name)
        raise RunError("not today")

    def strategy():
        asked.append([found.add(Plan(filters=filters), {"0": 10}).name for filters in (0.1, 0.2)])

    found, asked, waited, began = trials(tmp_path, run), [], [], []
    there = ExitStack()
    (tmp_path / "plans" / "trial-01").mkdir(parents=True)
    there.enter_context(locked(tmp_path / "plans" / "trial-01" / ".lock"))  # another process
    found.settle(strategy, lambda names: (waited.append(names), there.close()))
    assert waited == [["trial-01"]]
    assert began == ["trial-02", "trial-01"]
    assert asked == [["trial-01", "trial-02"], ["trial-01", "trial-02"]]  # the first time it begins again in between
    assert [trial.name for trial in found.found] == ["trial-01", "trial-02"]


def test_the_answer_waits_for_the_models_of_all_processes(tmp_path):
    found, waited, there = trials(tmp_path), [], ExitStack()
    assert found.study.number_of(Plan(filters=0.5), 9) == 1
    (tmp_path / "plans" / "trial-01").mkdir(parents=True)
    there.enter_context(locked(tmp_path / "plans" / "trial-01" / ".lock"))  # another process, with a plan of its own
    found.settle(lambda: None, lambda names: (waited.append(names), there.close()))
    assert waited == [["trial-01"]]
