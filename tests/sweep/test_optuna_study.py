"""Studies: which way is better, trials that were cut off, and a callback's reports."""

import pytest

pytest.importorskip("optuna")
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from effdl.sweep.optuna_study import best, direction, open_study, overrides_of, pruner_of, sampler_of, unfinished
from effdl.utils.errors import UserError

SPACE = {"lr": FloatDistribution(0, 1), "prune": FloatDistribution(0, 1)}


@pytest.mark.parametrize(
    ("objective", "expected"),
    [(name, "maximize") for name in ("top1", "top5", "top10", "compression_ratio", "weight_sparsity")]
    + [(name, "minimize") for name in ("loss", "size_bytes", "macs", "latency_ms", "total_co2eq_g")],
)
def test_which_way_is_better(objective, expected):
    assert direction(objective) == expected


def test_a_trial_without_all_of_its_values_is_given_up(tmp_path):
    study = open_study(tmp_path / "journal", SPACE, [], ["top1"])
    whole = study.ask(SPACE)
    study.ask({"lr": SPACE["lr"]})
    again = open_study(tmp_path / "journal", SPACE, [], ["top1"])
    (found,) = unfinished(again, SPACE)
    assert (found.number, found.params) == (whole.number, whole.params)
    assert [trial.state for trial in again.trials] == [TrialState.RUNNING, TrialState.FAIL]


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_a_sampler_draws_by_its_seed(name):
    def draw(seed):
        study = optuna.create_study(sampler=sampler_of(name, seed, 4))
        return study.ask(SPACE).params

    assert draw(3) == draw(3) != draw(4)


def test_overrides_can_be_typed():
    trial = optuna.trial.create_trial(
        params={"lr": 0.1 + 0.2, "prune": 0.123456789},
        distributions={key: FloatDistribution(0, 1) for key in ("lr", "prune")},
        value=1.0,
    )
    assert overrides_of(trial) == ("lr=0.3", "prune=0.123457")


def test_a_resumed_run_reports_no_epoch_twice(tmp_path, recwarn):
    study = open_study(tmp_path / "journal", SPACE, [], ["top1"])
    for _ in range(6):
        trial = study.ask(SPACE)
        for step in range(4):
            trial.report(0.5, step)
        study.tell(trial, 0.5)
    number = study.ask(SPACE).number
    for rows in ([0.9, 0.8], [0.9, 0.8, 0.7]):  # cut off after two epochs, then resumed
        callback = pruner_of(tmp_path / "journal", number, "median")
        for value in rows:
            callback.epoch_end({"val_top1": value})
    assert study.trials[number].intermediate_values == {0: 0.9, 1: 0.8, 2: 0.7}
    assert not [warning for warning in recwarn if "already reported" in str(warning.message)]


def test_pruning_needs_a_validation_split(tmp_path):
    study = open_study(tmp_path / "journal", SPACE, [], ["top1"])
    callback = pruner_of(tmp_path / "journal", study.ask(SPACE).number, "hyperband")
    with pytest.raises(UserError, match=r"needs a validation split: set dataset\.val"):
        callback.epoch_end({"loss": 1.0})


def test_of_trials_with_equal_values_the_first_is_the_best(tmp_path):
    study = open_study(tmp_path / "journal", SPACE, [], ["top1", "size_bytes"])
    for values in [(0.9, 20), (0.8, 10), (0.9, 20), (0.8, 30), (0.8, 10), None]:
        trial = study.ask(SPACE)
        study.tell(trial, values, TrialState.COMPLETE if values else TrialState.FAIL)
    assert [trial.number for trial in best(study)] == [1, 0]
    one = open_study(tmp_path / "other", SPACE, [], ["loss"])
    for value in (0.3, 0.1, 0.1):
        one.tell(one.ask(SPACE), value)
    assert [trial.number for trial in best(one)] == [1]
    assert best(open_study(tmp_path / "empty", SPACE, [], ["loss"])) == []
