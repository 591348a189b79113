"""The models that a search has trained: their plans, what was measured, and the file that keeps them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effdl.config.overrides import quote, value_of, without
from effdl.measure.costs import spent, sum_known
from effdl.measure.metrics import COSTS, on_measuring, on_test
from effdl.runs.folder import RunFolder
from effdl.search.goal import LATENCY_PART, METHODS, Goal
from effdl.search.plan import Plan
from effdl.utils.errors import RunError, UserError

Run = Callable[[list[str]], Path]  # one run of these overrides, continued if it was cut off; raises if it fails


@dataclass(frozen=True)
class Trial:
    """One run of a search.

    Args:
        name: of its folder.
        row: of its last stage, without what the test split says; empty if it failed.
        holds: whether it keeps to all bounds.
        reason: why it failed, or None.
    """

    name: str
    plan: Plan
    folder: Path
    row: Mapping
    holds: bool
    reason: str | None = None


@dataclass
class Trials:
    """All runs of a search, in order, and what they cost.

    Args:
        run: see `Run`.
        folder: of the search.
        goal: with bounds as numbers.
        common: overrides of all runs.
        epochs: of fine-tuning after each step.
        tell: is told of each trial when it is done.
    """

    run: Run
    folder: Path
    goal: Goal
    common: Sequence[str]
    epochs: int
    tell: Callable[[Trial], None]
    found: list[Trial] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)

    @property
    def may_go_on(self) -> bool:
        """Whether no limit is reached."""
        goal, hours, grams = self.goal, self.costs.get("duration_s", 0.0) / 3600, self.costs.get("co2eq_g", 0.0)
        spent_up = (goal.hours and hours >= goal.hours) or (goal.co2eq_g and grams >= goal.co2eq_g)
        return len(self.found) < goal.trials and not spent_up

    @property
    def best(self) -> Trial | None:
        """The trial of least cost among those that keep to all bounds."""
        good = [trial for trial in self.found if trial.holds]
        return min(good, key=lambda trial: self.goal.cost(trial.row), default=None)

    @property
    def nearest(self) -> Trial | None:
        """The trial whose furthest bound is missed by least."""
        measured = [trial for trial in self.found if trial.row]
        return min(measured, key=lambda trial: self.goal.worst(trial.row).excess(trial.row), default=None)

    def add(self, plan: Plan, sizes: Mapping[str, int]) -> Trial:
        """Compress, train on and measure by a plan; a run that is there is read.

        Raises:
            UserError: no run can begin with these overrides.
        """
        name = f"trial-{len(self.found) + 1:02d}"
        folder = self.folder / name
        plans = self.folder / "plans" / name
        plans.mkdir(parents=True, exist_ok=True)
        distilled = value_of(list(self.common), "distill") is not None
        planned = plan.overrides(plans, sizes, self.epochs, distilled)
        others = [f"compression.{name}." for name in METHODS if name not in plan.methods]
        overrides = [*without(list(self.common), *others), *planned, f"hydra.run.dir={quote(folder)}"]
        row, reason = {}, None
        try:
            result = RunFolder(self.run([*overrides, "resume=true"])).result
            row = readable(result["stages"][-1])
            self.count(result)
        except (RunError, UserError) as error:
            if isinstance(error, UserError) and plan.layers and not any(trial.row for trial in self.found):
                raise  # a mistake in the overrides, which no other plan mends
            reason = str(error)
        trial = Trial(name, plan, folder, row, bool(row) and self.goal.holds(row), reason)
        self.found.append(trial)
        self.tell(trial)
        return trial

    def count(self, result: Mapping) -> None:
        """Add what a run cost."""
        for key, value in cost_of(result["stages"]).items():
            self.costs[key] = self.costs.get(key, 0.0) + value


def cost_of(stages: Sequence[Mapping]) -> dict[str, float]:
    """Time, energy and CO2 of a run as far as they are known, measuring included."""
    cost = spent(stages)
    return {key: sum_known([cost[key], cost[on_measuring(key)]]) or 0.0 for key in COSTS}


def readable(row: Mapping) -> dict:
    """A stage's row without the columns of the test split, which a search never reads, and with `LATENCY_PART`."""
    part = 1 / row["speedup"] if row.get("speedup") else None
    return {**{key: value for key, value in row.items() if not on_test(key)}, LATENCY_PART: part}
