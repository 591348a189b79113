"""Optimization with Optuna: a study in a file, its trials asked and told, runs stopped that fall behind.

Only what is sought by Optuna imports this module, so that Optuna is needed only then.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from effdl.measure.metrics import metric, split_of
from effdl.measure.pareto import MAX, MIN, front
from effdl.utils.errors import TrialPruned, UserError

try:
    import optuna
except ImportError as error:
    raise UserError(f"hydra/sweeper=optuna: {error}; install it with: pip install 'effdl[sweep]'") from error
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

optuna.logging.set_verbosity(optuna.logging.WARNING)

_NAME = "effdl"
_PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "hyperband": HyperbandPruner,
}


def direction(objective: str) -> str:
    """``maximize`` for the columns of which more is better, else ``minimize``."""
    return "maximize" if metric(objective).better == MAX else "minimize"


def sampler_of(name: str, seed: int, startup: int) -> BaseSampler:
    """A sampler that draws one trial; a new one per trial, so that a sweep that is cut off goes on as if it was not."""
    if name == "nsga2":
        return NSGAIISampler(population_size=startup, seed=seed)
    return TPESampler(n_startup_trials=startup, seed=seed) if name == "tpe" else RandomSampler(seed=seed)


def _storage_of(file: Path) -> JournalStorage:
    """The journal of a study: a text file, one JSON object per line."""
    return JournalStorage(JournalFileBackend(str(file)))


def open_study(file: Path, space: Mapping[str, BaseDistribution], fixed: list[str], objectives: list[str]):
    """Continue the study of a file, or begin one.

    Raises:
        UserError: it is the study of something else.
    """
    study = optuna.create_study(
        storage=_storage_of(file), study_name=_NAME, directions=list(map(direction, objectives)), load_if_exists=True
    )
    mine = {
        "objectives": objectives,
        "fixed": sorted(fixed),
        "space": {key: distribution_to_json(distribution) for key, distribution in space.items()},
    }
    for key, value in mine.items():
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
        elif (there := study.user_attrs[key]) != value:
            raise UserError(f"{file} holds a study with other {key}: {value} (there: {there})")
    return study


def _trial_of(study: optuna.Study, number: int) -> Trial:
    """A trial that is under way, to report to."""
    return Trial(study, next(trial._trial_id for trial in study.get_trials(deepcopy=False) if trial.number == number))


def overrides_of(trial: Trial | FrozenTrial) -> tuple[str, ...]:
    """The values of a trial as overrides, to six digits: nobody can type more."""
    shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in trial.params.items()}
    return tuple(f"{key}={value}" for key, value in shown.items())


def unfinished(study: optuna.Study, space: Mapping[str, BaseDistribution]) -> list[Trial]:
    """The trials that were cut off; one that was cut off before all of its values were drawn is given up."""
    found = study.get_trials(states=[TrialState.RUNNING])
    for trial in found:
        if set(trial.params) != set(space):
            study.tell(trial.number, state=TrialState.FAIL)
    return [_trial_of(study, trial.number) for trial in found if set(trial.params) == set(space)]


def tell(study: optuna.Study, trial: Trial, outcome: dict, objectives: list[str]) -> None:
    """Tell a study what a job returned: a finished run's values, or that it was stopped or failed.

    Raises:
        UserError: a finished run has no such column.
    """
    row, state = outcome["row"] or {}, TrialState.PRUNED if outcome["status"] == "stopped" else TrialState.FAIL
    values, reason = None, outcome["reason"]
    if row and outcome["status"] in ("done", "skipped"):
        numeric = [key for key, value in row.items() if value is None or isinstance(value, int | float)]
        if unknown := [key for key in objectives if key not in numeric]:
            allowed = ", ".join(numeric)
            raise UserError(f"hydra.sweeper.objectives: {unknown[0]} is not measured as a number (allowed: {allowed})")
        values = [row[key] for key in objectives]
        missing = [key for key, value in zip(objectives, values, strict=True) if value is None]
        reason = f"{missing[0]} was not measured" if missing else reason
        state, values = (TrialState.FAIL, None) if missing else (TrialState.COMPLETE, values)
    trial.set_user_attr("outcome", {**outcome, "reason": reason})
    study.tell(trial, values, state)


def best(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that no other one surpasses in every objective, the first of those with equal values."""
    first: dict[tuple, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        first.setdefault(tuple(trial.values), trial)
    goals = [MAX if way == StudyDirection.MAXIMIZE else MIN for way in study.directions]
    return [first[values] for values in sorted(list(first)[i] for i in front(list(first), goals))]


def summary(study: optuna.Study) -> dict:
    """All trials, the best ones, and on how many choices these rest, as plain values."""
    objectives = study.user_attrs["objectives"]
    rows = []
    for trial in study.get_trials():
        outcome = trial.user_attrs.get("outcome", {})
        values = dict(zip(objectives, trial.values, strict=True)) if trial.state == TrialState.COMPLETE else None
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name,
                "overrides": list(overrides_of(trial)),
                "values": values,
                "reason": outcome.get("reason"),
                "folder": outcome.get("folder"),
                "epochs_seen": len(trial.intermediate_values) or None,
            }
        )
    return {
        "objectives": {name: direction(name) for name in objectives},
        "fixed": study.user_attrs["fixed"],
        "best": [trial.number for trial in best(study)],
        "choices": _choices(rows, objectives),
        "trials": rows,
    }


def _choices(rows: list[dict], objectives: list[str]) -> dict:
    """How many trials were compared, or stopped because others did better, and on which split."""
    compared = [row for row in rows if row["state"] in (TrialState.COMPLETE.name, TrialState.PRUNED.name)]
    stopped = any(row["state"] == TrialState.PRUNED.name for row in rows)
    return {"compared": len(compared), "split": split_of(objectives) or ("validation" if stopped else None)}


class TrialPruner:
    """A callback that reports the validation accuracy of every epoch and stops a run that falls behind the others."""

    def __init__(self, trial: Trial, pruner: str):
        self.trial, self.pruner, self.step = trial, pruner, 0
        self.known = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def epoch_end(self, row: dict) -> None:
        """Report an epoch that was trained by labels. Raises TrialPruned if the pruner gives the trial up."""
        if row.get("stage") == "pretraining":
            return
        if "val_top1" not in row:
            raise UserError(f"hydra.sweeper.pruner={self.pruner} needs a validation split: set dataset.val above 0")
        if self.step not in self.known:
            self.trial.report(row["val_top1"], self.step)
        self.step += 1
        if self.trial.should_prune():
            raise TrialPruned(
                f"{self.pruner} pruner: val_top1 {row['val_top1']:.4f} after {self.step} epochs is behind other trials"
            )


def pruner_of(file: Path, number: int, pruner: str) -> TrialPruner:
    """The callback of a job's own trial."""
    study = optuna.load_study(
        storage=_storage_of(file), study_name=_NAME, pruner=_PRUNERS[pruner](), sampler=RandomSampler()
    )
    return TrialPruner(_trial_of(study, number), pruner)
