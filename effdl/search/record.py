"""``search.json``: what was asked, what was tried, what was found and what it cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from pydantic import Field

from effdl.measure.metrics import on_validation
from effdl.search.goal import ANSWERS, LATENCY_PART, STRUCTURE, WEIGHTS, Bound, Goal, column
from effdl.search.study import Study, has_hidden_password, without_password
from effdl.search.trial import Trial, best_of, front_of
from effdl.search.trials import Trials
from effdl.utils.errors import UserError
from effdl.utils.files import write_json
from effdl.utils.shapes import Shape, read_shaped

FILE = "search.json"
_DATABASE = "study.db"
_SHOWN = (*map(on_validation, ANSWERS), *WEIGHTS, *STRUCTURE)


class Asked(Shape):
    """The first part of the file."""

    words: list[str]
    dense: str | None  # the run folder that was given
    config_dir: str | None
    study: str  # name in the database
    storage: str | None  # address of the database, without a password; None: a file in the folder
    typed_in: str | None = None  # the folder that relative paths mean; None: an earlier version did not say


class _Record(Asked):
    """The whole file."""

    bounds: list[dict] = Field(default_factory=list)
    objective: str | None = None
    against: str | None = None
    front: list[str] = Field(default_factory=list)
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


def new_asked(words: Sequence[str], dense: Path | None, config_dir: str | None, storage: str | None) -> Asked:
    """What is asked by these words, under a new name in the database."""
    shown = storage and without_password(storage)
    given = dense and str(dense.absolute())
    return Asked(
        words=list(words),
        dense=given,
        config_dir=config_dir,
        study=uuid4().hex,
        storage=shown,
        typed_in=str(Path.cwd()),
    )


def open_study(folder: Path, asked: Asked, storage: str | None) -> Study:
    """The study of a search.

    Args:
        storage: as typed; None: the one it began with.

    Raises:
        UserError: it cannot be opened, or began in another database.
    """
    if storage is not None and without_password(storage) != asked.storage:
        began = asked.storage or f"{folder / _DATABASE}, which no storage= stands for"
        raise UserError(f"storage={without_password(storage)}: this search began with {began}")
    if storage is None and asked.storage and has_hidden_password(asked.storage):
        raise UserError(f"{folder} needs storage={asked.storage} with its password, which is not kept")
    return Study(storage or asked.storage or f"sqlite:///{(folder / _DATABASE).absolute()}", asked.study)


def write_asked(folder: Path, asked: Asked) -> None:
    """Begin the file."""
    write_json(folder / FILE, asked.model_dump())


def write_found(folder: Path, trials: Trials, ended: bool = False) -> None:
    """Keep what was found so far, by other processes too, and whether that is all."""
    asked, known = read_asked(folder), trials.everything()
    best = None if trials.goal.against else best_of(known, trials.goal)
    found = {
        **{key: getattr(asked, key) for key in Asked.model_fields},
        "bounds": [_bound(bound) for bound in trials.goal.bounds],
        "objective": trials.goal.objective,
        "against": trials.goal.against,
        "front": [trial.name for trial in front_of(known, trials.goal)] if trials.goal.against else [],
        "trials": [_trial(trial, trials.goal) for trial in known],
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
        "activations": trial.plan.activations,
        "int8": trial.plan.int8,
        "longer": trial.plan.longer,
        "layers": {name: {"sparsity": c.sparsity, "bits": c.bits} for name, c in trial.plan.layers.items()},
        "predicted": dict(trial.plan.predicted),
        "measured": {key: trial.row.get(key) for key in dict.fromkeys((*_SHOWN, column(goal.objective), LATENCY_PART))},
        "holds": trial.holds,
        "reason": trial.reason,
    }
