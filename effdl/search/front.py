"""How the search for a front goes: models of costs in between, where the front has its widest gap."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from effdl.search.base import Base
from effdl.search.bases import LADDER, make_bases, meet, planned
from effdl.search.gaps import widest_gap
from effdl.search.goal import LATENCY_PART, STRUCTURE, WEIGHTS, Bound, Goal
from effdl.search.models import LEAST, NEAR, Models
from effdl.search.trial import Trial


@dataclass
class FrontStrategy:
    """The course of a search for a front: of each cost the model of best answers.

    Args:
        models, bases_of, ladder: see `effdl.search.strategy.Strategy`.
        aimed: costs that were aimed at.
    """

    models: Models
    bases_of: Callable[[Trial], Sequence[Base]]
    ladder: Sequence[float] = LADDER
    bases: list[Base] = field(default_factory=list)
    aimed: set[float] = field(default_factory=set)

    @property
    def goal(self) -> Goal:
        """What is asked, with bounds as numbers."""
        return self.models.trials.goal

    def go(self) -> None:
        """Train models until a limit is reached or no gap is left."""
        if self.goal.objective in WEIGHTS:
            self.bases = make_bases(self.models, self.bases_of, self.ladder)
        elif not self.models.fitting:
            self.models.try_smallest()
            return
        while self.models.trials.may_go_on and not self._refused and (cost := self._middle()) is not None:
            self.aimed.add(cost)
            if self.goal.objective in STRUCTURE:
                self._thin_to(cost)
            else:
                self._shrink_to(cost)

    @property
    def _refused(self) -> bool:
        """Whether no model can be made at all, as the first run says."""
        return not self.models.trials.models and any(trial.refused for trial in self.models.trials.found)

    def _middle(self) -> float | None:
        """The cost in the middle of the widest gap; None if none is left, or costs cannot be measured."""
        dense = self.models.dense[0].row
        rows = [trial.row for trial in self.models.trials.models if trial.holds]
        found: dict[float, float] = {}
        for row in [*rows, *([dense] if self.goal.holds(dense) else [])]:
            cost, answer = row.get(self._column), self.goal.answer(row)
            if cost is not None:
                found[cost] = max(answer, found.get(cost, answer))
        if dense.get(self._column) is None or (rows and not found):
            return None
        return widest_gap(found, self.aimed | {self._least, self._most}, NEAR)

    @property
    def _column(self) -> str:
        """Where costs are read: of latencies those that were measured in turns."""
        return LATENCY_PART if self.goal.objective == "latency_ms" else self.goal.objective

    @property
    def _most(self) -> float:
        """The largest cost that is allowed and that a model has to begin with."""
        costs = [base.row[self._column] for base in self.bases] or [self.models.dense[0].row[self._column]]
        bounds = [bound.value for bound in self.goal.bounds if bound.column == self._column]
        return min([max(costs), *bounds])

    @property
    def _least(self) -> float:
        """The least cost that any model can have, as far as is known."""
        if self.bases:
            return min(base.floor(self.goal.objective) for base in self.bases)
        return LEAST * self.models.dense[0].row[self._column]

    def _shrink_to(self, cost: float) -> None:
        """Prune and quantize the weights of the model of least predicted loss."""
        budgets = {**self.goal.of(WEIGHTS), self.goal.objective: cost}
        for base, plan in planned(self.bases, budgets)[:1]:
            if plan.changes_weights and self.models.may_come_back(base, plan):
                self.models.by(base, plan)

    def _thin_to(self, cost: float) -> None:
        """Remove as few filters as are enough, of integers or of floats, and prune weights if bounds ask for it."""
        bound = Bound(self.goal.objective, cost, column=self._column)
        kinds = {int8: self.models.mildest(int8, [bound]) for int8 in self.models.numbers}
        if not any(filters is not None for filters in kinds.values()):
            self.models.without(0.5)  # its run says why nothing can be removed
        enough = [(filters, int8) for int8, filters in kinds.items() if filters or (int8 and filters == 0)]
        for filters, int8 in sorted(pair for pair in enough if self.models.fit(*pair, [bound]))[:1]:
            trial = self.models.without(filters, int8)
            if self.models.may_hold_if_pruned(trial.row) and self.models.trials.may_go_on:
                self._prune(self.models.without(filters) if int8 else trial, int8, self.goal.of(WEIGHTS))

    def _prune(self, trial: Trial, int8: bool, budgets: Mapping[str, float]) -> None:
        """Prune and quantize the weights of what is left of floats to budgets."""
        bases = [base for base in self.bases_of(trial) if base.family.int8 == int8] if trial.row else []
        for base, _ in planned(bases, budgets)[:1]:
            meet(self.models, base, budgets, lambda: self.models.trials.may_go_on)
