"""How the search for a front goes: models of costs in between, where the front has its widest gap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from effdl.search.base import Base
from effdl.search.bases import LADDER, make_bases, planned
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
        while self.models.trials.may_go_on and (cost := self._middle()) is not None:
            self.aimed.add(cost)
            if self.goal.objective in STRUCTURE:
                self._thin_to(cost)
            else:
                self._shrink_to(cost)

    def _middle(self) -> float | None:
        """The cost in the middle of the widest gap."""
        rows = [self.models.dense[0].row, *(trial.row for trial in self.models.trials.models if trial.holds)]
        found: dict[float, float] = {}
        for row in rows:
            cost, answer = self.goal.cost(row), self.goal.answer(row)
            found[cost] = max(answer, found.get(cost, answer))
        return widest_gap(found, self.aimed | {self._floor}, NEAR)

    @property
    def _floor(self) -> float:
        """The least cost that any model can have, as far as is known."""
        if self.bases:
            return min(base.floor(self.goal.objective) for base in self.bases)
        return LEAST * self.goal.cost(self.models.dense[0].row)

    def _shrink_to(self, cost: float) -> None:
        """Prune and quantize the weights of the model of least predicted loss."""
        for base, plan in planned(self.bases, {**self.goal.of(WEIGHTS), self.goal.objective: cost})[:1]:
            if self.models.may_come_back(base, plan):
                self.models.by(base, plan)

    def _thin_to(self, cost: float) -> None:
        """Remove as few filters as are enough, and make integers of it where these are faster."""
        int8 = self.models.are_faster_in_int8
        at = LATENCY_PART if self.goal.objective == "latency_ms" else self.goal.objective
        self.models.without(self.models.mildest(int8, [Bound(self.goal.objective, cost, column=at)]), int8)
