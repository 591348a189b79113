"""One model that a search has trained: its plan, what was measured of it and what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effdl.measure.costs import spent, sum_known
from effdl.measure.metrics import COSTS, on_measuring, on_test
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


def cost_of(stages: Sequence[Mapping]) -> dict[str, float]:
    """Time, energy and CO2 of a run as far as they are known, measuring included."""
    cost = spent(stages)
    return {key: sum_known([cost[key], cost[on_measuring(key)]]) or 0.0 for key in COSTS}


def readable(row: Mapping) -> dict:
    """A stage's row without the columns of the test split, which a search never reads, and with `LATENCY_PART`."""
    part = 1 / row["speedup"] if row.get("speedup") else None
    return {**{key: value for key, value in row.items() if not on_test(key)}, LATENCY_PART: part}
