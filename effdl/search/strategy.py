"""How a search goes: filters first, of which a few models are made, then the weights of these, layer by layer.

The tables of a model make a family of plans with one parameter, the budget that the solver is given: the smaller it is,
the fewer bytes and the lower the accuracy. So the smallest model that keeps to the bounds is found by bisection, in
which every point is a model that was trained, stored and measured. Which of several models a point begins with is
decided by the predicted loss. All that is read of a model was measured on the validation split or on its file.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from effdl.search.base import Base
from effdl.search.bases import LADDER, make_bases, meet, planned
from effdl.search.goal import ANSWERS, STRUCTURE, WEIGHTS, Goal
from effdl.search.models import LEAST, NEAR, Models
from effdl.search.trial import Trial
from effdl.search.trials import Trials

_AT_ONCE = 2  # models that are tried with one budget
_ROUNDS = 3  # through all models with the same budget
_ATTEMPTS = 3  # to keep to bounds on shapes
_KEPT = 6  # one of so many trials is kept for longer training, which may mend what is nearly good enough
_NEARLY = 0.01  # of an accuracy, by which it then misses at most
_LESS = 0.93  # of the MACs, with the next of them


@dataclass
class Strategy:
    """The course of a search.

    Args:
        models: what can be made of the dense model.
        bases_of: reads what is left of it in a trial that removed filters.
        ladder: how many filters are removed.
    """

    models: Models
    bases_of: Callable[[Trial], Sequence[Base]]
    ladder: Sequence[float] = LADDER
    bases: list[Base] = field(default_factory=list)
    kept: int = field(init=False)  # trials, for longer training
    low: float = 0.0  # the largest budget of the objective that was found to be too small
    too_small: dict[tuple[float, int], float] = field(default_factory=dict)  # budgets of the objective, by model

    def __post_init__(self) -> None:
        self.kept = self.goal.trials // _KEPT

    @property
    def trials(self) -> Trials:
        """The runs."""
        return self.models.trials

    @property
    def goal(self) -> Goal:
        """What is asked, with bounds as numbers."""
        return self.trials.goal

    def go(self) -> None:
        """Train models until a limit is reached or nothing better is left to try."""
        if self.goal.objective in STRUCTURE:
            self._thin()
            self._other_numbers()
        elif self.goal.objective in WEIGHTS or self.goal.of(WEIGHTS):
            self.bases = make_bases(self.models, self.bases_of, self.ladder)
            if self.goal.objective in WEIGHTS:
                self._shrink()
            else:
                self._fit()
        else:
            self._spare_filters()
        self.kept = 0
        self._train_longer()
        if self.goal.objective in WEIGHTS:
            self._shrink()

    @property
    def _may_go_on(self) -> bool:
        """Whether there are trials left besides those that are kept for longer training."""
        return self.trials.may_go_on and self.trials.left > self.kept

    def _train_longer(self) -> None:
        """Train those longer that would be better than the best if they answered a little better, and where answers are
        optimized, the best."""
        asked: set[str] = set()  # another process may be at one
        while self.trials.may_go_on and (nearly := [one for one in self._nearly() if one.name not in asked]):
            asked.add(nearly[0].name)
            self.models.longer(nearly[0])
        best = self.trials.best
        if self.goal.objective in ANSWERS and best and self.models.may_learn_longer(best) and self.trials.may_go_on:
            self.models.longer(best)

    def _nearly(self) -> list[Trial]:
        """The trials that cost less than the best and miss nothing but answers, by little: of least cost first."""
        most = self.goal.cost(self.trials.best.row) if self.trials.best else math.inf
        slack = {bound: _NEARLY if bound.key in ANSWERS else 0.0 for bound in self.goal.bounds}
        cheaper = [one for one in self.trials.models if not one.holds and self.goal.cost(one.row) < most]
        fair = [one for one in cheaper if all(bound.excess(one.row) <= most for bound, most in slack.items())]
        return sorted(filter(self.models.may_learn_longer, fair), key=lambda trial: self.goal.cost(trial.row))

    def _thin(self) -> None:
        """Remove as many filters as the bounds allow: bisection by the part of the MACs that is left."""
        if not (kinds := self.models.fitting):
            self.models.try_smallest()
        for int8, filters in kinds.items():
            mild, harsh = 1 - filters, LEAST
            if int8 and mild == 1:
                self.models.without(0.0, int8=True)
            if mild < 1 and not self._holds_without(1 - mild, int8) and not self._answers_without(1 - mild, int8):
                continue  # with fewer filters it would answer worse
            while self._may_go_on and mild > harsh * NEAR:
                left = math.sqrt(mild * harsh)
                if self._holds_without(1 - left, int8):
                    mild = left
                else:
                    harsh = left
            if self.trials.best:
                return

    def _answers_without(self, filters: float, int8: bool) -> bool:
        """Whether a model without filters answers well enough."""
        row = self.models.without(filters, int8).row
        return bool(row) and self.models.answer(row, 0.0)

    def _holds_without(self, filters: float, int8: bool) -> bool:
        """Whether the bounds hold without these filters, after pruning weights if they ask for it."""
        trial = self.models.without(filters, int8)
        if trial.holds or not self.models.may_hold_if_pruned(trial.row) or not self._may_go_on:
            return trial.holds
        floats = self.models.without(filters) if int8 else trial
        if not floats.row:
            return False
        bases, budgets = [base for base in self.bases_of(floats) if base.family.int8 == int8], self.goal.of(WEIGHTS)
        return any(self._meet(base, budgets) for base, _ in planned(bases, budgets)[:_AT_ONCE])

    def _other_numbers(self) -> None:
        """Make the narrowest model that holds of integers if it has floats, and of floats if it has integers: narrow
        layers gain less by integers than the dense model's, and their times may be hard to tell from each other."""
        held = [trial.plan for trial in self.trials.found if trial.holds and not trial.plan.layers]
        narrowest = max(held, key=lambda plan: plan.filters, default=None)
        if not self.models.have_int8 or narrowest is None or not narrowest.filters or not self._may_go_on:
            return
        if self.models.fit(narrowest.filters, not narrowest.int8):
            self.models.without(narrowest.filters, not narrowest.int8)

    def _shrink(self) -> None:
        """Bisection for the smallest budget of the objective with which the bounds hold."""
        objective, bounds = self.goal.objective, self.goal.of(WEIGHTS)
        best = self.trials.best
        high = min([self.models.dense[0].row[objective], *([best.row[objective]] if best else [])])
        while self._may_go_on and high > (low := max(self.low, self._floor(objective))) * NEAR:
            target = math.sqrt(low * high)
            if self._any_holds({**bounds, objective: min(target, bounds.get(objective, math.inf))}, target):
                high = min(target, self.trials.best.row[objective])
            elif self._may_go_on:  # else not all were tried
                self.low = target

    def _floor(self, key: str) -> float:
        """The least that any plan can have, as far as is known; infinite without a model to begin with."""
        return min((base.floor(key) for base in self.bases), default=math.inf)

    def _any_holds(self, budgets: dict[str, float], target: float) -> bool:
        """Whether one of the models of least predicted loss keeps to the bounds within these budgets.

        One that missed is not tried again with a smaller budget, or with one that is larger by less than it missed by.

        Args:
            target: the budget of the objective.
        """
        plans = planned(self.bases, budgets)
        plans = [pair for pair in plans if target > self.too_small.get(pair[0].name, 0.0)]
        plans = [pair for pair in plans if self.models.may_come_back(*pair) or not self.trials.models]
        for base, plan in plans[:_AT_ONCE]:
            if self._may_go_on:
                trial = self.models.by(base, plan)
                if trial.holds:
                    return True
                missed_by = self.goal.worst(trial.row).excess(trial.row) if trial.row else 0.0
                self.too_small[base.name] = target * (1 + missed_by)
        return False

    def _fit(self) -> None:
        """The best answers within the bounds on costs: all models are tried, that of least predicted loss first, and
        again where a plan changes by what was learned of the budget that they left unused."""
        budgets = self.goal.of(WEIGHTS)
        for base, _ in _ROUNDS * planned(self.bases, budgets):
            if self._may_go_on:
                self._meet(base, budgets)

    def _spare_filters(self) -> None:
        """Remove as few filters as the bounds on shapes allow, and more if what is measured is beyond them."""
        if not (kinds := self.models.fitting):
            self.models.try_smallest()
        for int8, filters in kinds.items():
            left = 1 - filters
            for _ in range(_ATTEMPTS):
                if not self._may_go_on or (left == 1 and not int8):
                    break
                if self.models.are_shaped(self.models.without(1 - left, int8).row):
                    break
                left *= _LESS

    def _meet(self, base: Base, budgets: dict[str, float]) -> bool:
        """See `meet`."""
        return meet(self.models, base, budgets, lambda: self._may_go_on)
