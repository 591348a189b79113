"""``search.json``: what was asked, what was tried, what was found and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from effdl.measure.metrics import on_validation
from effdl.search.goal import ANSWERS, LATENCY_PART, STRUCTURE, WEIGHTS, Bound, Goal, column
from effdl.search.trials import Trial, Trials
from effdl.utils.files import write_json
from effdl.utils.shapes import Shape, read_shaped

FILE = "search.json"
_SHOWN = (*map(on_validation, ANSWERS), *WEIGHTS, *STRUCTURE)


class Asked(Shape):
    """The first part of the file."""

    words: list[str]
    dense: str | None  # the run folder that was given
    config_dir: str | None


class _Record(Asked):
    """The whole file."""

    bounds: list[dict] = Field(default_factory=list)
    objective: str | None = None
    trials: list[dict] = Field(default_factory=list)
    best: str | None = None
    costs: dict = Field(default_factory=dict)
    ended: bool = False


def read_asked(folder: Path) -> Asked:
    """What a search was asked.

    Raises:
        UserError: there is no search in the folder, or its file is damaged.
    """
    return read_shaped(folder / FILE, _Record)


def write_asked(folder: Path, words: Sequence[str], dense: Path | None, config_dir: str | None) -> None:
    """Begin the file."""
    write_json(folder / FILE, {"words": list(words), "dense": dense and str(dense), "config_dir": config_dir})


def write_found(folder: Path, trials: Trials, ended: bool = False) -> None:
    """Keep what was found so far, and whether that is all."""
    asked, best = read_asked(folder), trials.best
    found = {
        **{key: getattr(asked, key) for key in Asked.model_fields},
        "bounds": [_bound(bound) for bound in trials.goal.bounds],
        "objective": trials.goal.objective,
        "trials": [_trial(trial, trials.goal) for trial in trials.found],
        "best": best and best.name,
        "costs": trials.costs,
        "ended": ended,
    }
    write_json(folder / FILE, found)


def _bound(bound: Bound) -> Mapping:
    """A bound as plain values."""
    return {"metric": bound.key, "column": bound.column, "value": bound.value}


def _trial(trial: Trial, goal: Goal) -> dict:
    """A trial as plain values."""
    return {
        "name": trial.name,
        "filters": trial.plan.filters,
        "layers": {name: {"sparsity": c.sparsity, "bits": c.bits} for name, c in trial.plan.layers.items()},
        "predicted": dict(trial.plan.predicted),
        "measured": {key: trial.row.get(key) for key in dict.fromkeys((*_SHOWN, column(goal.objective), LATENCY_PART))},
        "holds": trial.holds,
        "reason": trial.reason,
    }
