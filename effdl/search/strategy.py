"""How a search goes: filters first, of which a few models are made, then the weights of these, layer by layer.

The tables of a model make a family of plans with one parameter, the budget that the solver is given: the smaller it is,
the fewer bytes and the lower the accuracy. So the smallest model that keeps to the bounds is found by bisection, in
which every point is a model that was trained, stored and measured. Which of several models a point begins with is
decided by the predicted loss. All that is read of a model was measured on the validation split or on its file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from effdl.search.base import Base
from effdl.search.goal import STRUCTURE, WEIGHTS, Goal
from effdl.search.models import Models
from effdl.search.plan import Plan
from effdl.search.trial import Trial
from effdl.search.trials import Trials

_LADDER = (0.5, 0.75, 0.875, 0.94)  # fractions of the MACs that removed filters save
_SLACK = 0.02  # of an accuracy, by which a model may miss the bound before its weights are pruned and trained on
_HARSHEST = 0.98  # of the same, beyond which no model is tried
_NEAR = 1.03  # ratio of two budgets, or of two models' MACs, that are as good as equal
_AT_ONCE = 2  # models that are tried with one budget
_ROUNDS = 3  # through all models with the same budget
_ATTEMPTS = 3  # to meet a budget with one model


@dataclass
class Strategy:
    """The course of a search.

    Args:
        trials: the runs.
        dense: the trained model with the tables of its layers, once for each family of choices.
        bases_of: the same of a trial that removed filters.
        ladder: how many filters are removed.
    """

    trials: Trials
    dense: Sequence[Base]
    bases_of: Callable[[Trial], Sequence[Base]]
    ladder: Sequence[float] = _LADDER
    int8: bool = False  # whether models are made of 8-bit integers, where only shapes decide
    bases: list[Base] = field(default_factory=list)
    too_small: dict[tuple[float, int], float] = field(default_factory=dict)  # budgets of the objective, by model

    @property
    def models(self) -> Models:
        """What can be made of the dense model."""
        return Models(self.trials, self.dense)

    @property
    def goal(self) -> Goal:
        """What is asked, with bounds as numbers."""
        return self.trials.goal

    def go(self) -> None:
        """Train models until a limit is reached or nothing better is left to try."""
        if self.goal.objective in STRUCTURE:
            self._thin()
            self._other_numbers()
            return
        self._make_bases()
        if self.goal.objective in WEIGHTS:
            self._shrink()
        else:
            self._fit()

    def _thin(self) -> None:
        """Remove as many filters as the bounds allow: bisection by the part of the MACs that is left."""
        self.int8 = self.models.are_faster_in_int8()
        mild, harsh = 1.0, 1 - _HARSHEST
        while self.trials.may_go_on and mild > harsh * _NEAR:
            left = math.sqrt(mild * harsh)
            if self._holds_without(1 - left):
                mild = left
            else:
                harsh = left

    def _holds_without(self, filters: float) -> bool:
        """Whether the bounds hold without these filters, after pruning weights if they ask for it."""
        trial = self.models.without(filters, self.int8)
        if trial.holds or not trial.row or not (budgets := self.goal.of(WEIGHTS)):
            return trial.holds
        if not self.models.answer(trial.row, _SLACK) or not self.trials.may_go_on:
            return False
        floats = self.models.without(filters) if self.int8 else trial
        if not floats.row:
            return False
        bases = [base for base in self.bases_of(floats) if base.family.int8 == self.int8]
        return any(self._meet(base, budgets) for base, _ in self._planned(bases, budgets)[:_AT_ONCE])

    def _other_numbers(self) -> None:
        """Make the best model of integers if it has floats, and of floats if it has integers: narrow layers gain less
        by integers than the dense model's."""
        best = self.trials.best
        if self.models.have_int8 and best and not best.plan.layers and best.plan.filters and self.trials.may_go_on:
            self.models.without(best.plan.filters, not best.plan.int8)

    def _make_bases(self) -> None:
        """The models whose weights are pruned and quantized: those whose shapes keep to the bounds, while they answer
        well enough. At most a third of the trials is spent on them."""
        self._add_bases(0.0, self.dense[0].row, lambda: self.dense)
        levels = self.goal.trials // (6 if self.models.have_int8 else 3)
        for filters in self.ladder[: levels if self.bases else max(1, levels)]:
            if not self.trials.may_go_on:
                return
            trial = self.models.without(filters)
            if not trial.row or not self.models.answer(trial.row, _SLACK):
                return
            self._add_bases(filters, trial.row, partial(self.bases_of, trial))

    def _add_bases(self, filters: float, row: Mapping, read: Callable[[], Sequence[Base]]) -> None:
        """The models without these filters, of floats and of integers, as far as their shapes keep to the bounds.

        Args:
            row: of the model of floats.
            read: reads them.
        """
        rows = {False: row}
        if self.models.have_int8 and self.trials.may_go_on:
            rows[True] = self.models.without(filters, int8=True).row
        shaped = [int8 for int8, own in rows.items() if own and self.models.are_shaped(own)]
        if shaped:
            self.bases.extend(base for base in read() if base.family.int8 in shaped)

    def _shrink(self) -> None:
        """Bisection for the smallest budget of the objective with which the bounds hold."""
        objective, bounds = self.goal.objective, self.goal.of(WEIGHTS)
        best = self.trials.best
        high = min([self.dense[0].row[objective], *([best.row[objective]] if best else [])])
        low = 0.0
        while self.trials.may_go_on and high > (low := max(low, self._floor(objective))) * _NEAR:
            target = math.sqrt(low * high)
            if self._any_holds({**bounds, objective: min(target, bounds.get(objective, math.inf))}, target):
                high = min(target, self.trials.best.row[objective])
            else:
                low = target

    def _floor(self, key: str) -> float:
        """The least that any plan can have, as far as is known; infinite without a model to begin with."""
        return min((base.floor(key) for base in self.bases), default=math.inf)

    def _any_holds(self, budgets: dict[str, float], target: float) -> bool:
        """Whether one of the models of least predicted loss keeps to the bounds within these budgets.

        One that missed is not tried again with a smaller budget, or with one that is larger by less than it missed by.

        Args:
            target: the budget of the objective.
        """
        planned = self._planned(self.bases, budgets)
        plans = [pair for pair in planned if target > self.too_small.get(pair[0].name, 0.0)]
        for base, plan in plans[:_AT_ONCE]:
            if self.trials.may_go_on:
                trial = self.models.by(base, plan)
                if trial.holds:
                    return True
                missed_by = self.goal.worst(trial.row).excess(trial.row) if trial.row else 0.0
                self.too_small[base.name] = target * (1 + missed_by)
        return False

    def _planned(self, bases: Sequence[Base], budgets: dict[str, float]) -> list[tuple[Base, Plan]]:
        """Each model with its plan within budgets, that of least predicted loss first."""
        plans = [(base, base.plan(budgets)) for base in bases]
        return sorted(plans, key=lambda pair: pair[1].predicted["val_loss"])

    def _fit(self) -> None:
        """The best answers within the bounds on costs: all models are tried, that of least predicted loss first, and
        again where a plan changes by what was learned of the budget that they left unused."""
        if not (budgets := self.goal.of(WEIGHTS)):
            self._spare_filters()
            return
        for base, _ in _ROUNDS * self._planned(self.bases, budgets):
            if self.trials.may_go_on:
                self._meet(base, budgets)

    def _spare_filters(self) -> None:
        """Remove as few filters as the bounds on shapes allow: bisection between too few and enough."""
        self.int8 = self.models.are_faster_in_int8()
        alike = [trial for trial in self.trials.found if trial.row and trial.plan.int8 == self.int8]
        tried = [(1 - trial.plan.filters, self.models.are_shaped(trial.row)) for trial in alike]
        if not self.int8:
            tried.append((1.0, self.models.are_shaped(self.dense[0].row)))
        few = min((left for left, shaped in tried if not shaped), default=0.0)
        enough = max((left for left, shaped in tried if shaped), default=1 - _HARSHEST)
        while self.trials.may_go_on and few > enough * _NEAR:
            left = math.sqrt(few * enough)
            if self.models.are_shaped(self.models.without(1 - left, self.int8).row):
                enough = left
            else:
                few = left

    def _meet(self, base: Base, budgets: dict[str, float]) -> bool:
        """Prune and quantize the weights of a model to budgets; again, better predicted, if they are missed."""
        for _ in range(_ATTEMPTS):
            if not self.trials.may_go_on:
                return False
            trial = self.models.by(base, base.plan(budgets))
            if trial.holds or not trial.row or all(trial.row[key] <= budget for key, budget in budgets.items()):
                return trial.holds
        return False
