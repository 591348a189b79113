"""One model that a search has trained: its plan, what was measured of it and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effdl.config.naming import option_name
from effdl.measure.costs import spent, sum_known
from effdl.measure.course import course_columns, pruned_params
from effdl.measure.metrics import COSTS, on_measuring, on_test
from effdl.measure.pareto import MAX, MIN, front
from effdl.measure.scores import micronet_columns, reference_of
from effdl.runs.folder import RunFolder
from effdl.search.goal import LATENCY_PART, Goal
from effdl.search.plan import Plan


@dataclass(frozen=True)
class Trial:
    """One run of a search.

    Args:
        name: of its folder.
        row: of its last stage, without what the test split says; empty if it failed.
        holds: whether it keeps to all bounds.
        reason: why it failed, or why it is not known, or None.
        cost: see `cost_of`.
        refused: whether it is impossible, which was found before any training; it does not count as a trial.
    """

    name: str
    plan: Plan
    folder: Path
    row: Mapping
    holds: bool
    reason: str | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    refused: bool = False


def best_of(trials: Sequence[Trial], goal: Goal) -> Trial | None:
    """The trial of least cost among those that keep to all bounds."""
    return min((trial for trial in trials if trial.holds), key=lambda trial: goal.cost(trial.row), default=None)


def front_of(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    """The trials that keep to all bounds and are surpassed by none in both objectives, the cheapest first."""
    held = [trial for trial in trials if trial.holds]
    points = [(goal.cost(trial.row), goal.answer(trial.row)) for trial in held]
    return [held[place] for place in front(points, [MIN, MAX])]


def cost_of(stages: Sequence[Mapping]) -> dict[str, float]:
    """Time, energy and CO2 of a run as far as they are known, measuring included."""
    cost = spent(stages)
    return {key: sum_known([cost[key], cost[on_measuring(key)]]) or 0.0 for key in COSTS}


def row_of(folder: RunFolder) -> dict:
    """What a search reads of a run, see `readable`."""
    return readable(folder.result["stages"], folder.layers.read(), option_name(folder.run["config"]["dataset"]))


def readable(stages: Sequence[Mapping], layers: Sequence[Mapping] = (), dataset: str = "") -> dict:
    """The row of a run's last stage without the columns of the test split, which a search never reads, with
    `LATENCY_PART`, 1 for a run that only trains, and with the scores of the course and of the MicroNet challenge.

    Args:
        stages: all rows of the run.
        layers: its rows of layers.
        dataset: the name of the data set, by which the MicroNet challenge has another reference.
    """
    row = {key: value for key, value in stages[-1].items() if not on_test(key)}
    speedup = row.get("speedup")
    if len(stages) == 1 and row.get("latency_ms") is not None:
        speedup = 1.0
    own = [layer for layer in layers if layer["stage"] == row["stage"]]
    course = course_columns(row, stages[0], own, pruned=pruned_params(stages))
    micronet = micronet_columns(row, own, reference_of(dataset))
    scores = {"course_score": course["course_score"], "micronet_score": micronet["micronet_score"]}
    return {**row, LATENCY_PART: 1 / speedup if speedup else None, **scores}
