"""The models that a search makes, each once, and what is asked of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effdl.search.base import Base
from effdl.search.goal import ANSWERS, LATENCY_PART, STRUCTURE
from effdl.search.plan import Plan
from effdl.search.trial import Trial
from effdl.search.trials import Trials


@dataclass(frozen=True)
class Models:
    """What can be made of a dense model.

    Args:
        trials: the runs.
        dense: the trained model with the tables of its layers, once for each family of choices.
    """

    trials: Trials
    dense: Sequence[Base]

    @property
    def have_int8(self) -> bool:
        """Whether 8-bit integers are tried at all."""
        return any(base.family.int8 for base in self.dense)

    def are_faster_in_int8(self) -> bool:
        """Whether 8-bit integers make the dense model faster, which is measured."""
        if not self.have_int8 or not self.trials.may_go_on:
            return False
        return (self.without(0.0, int8=True).row.get(LATENCY_PART) or 1.0) < 1.0

    def without(self, filters: float, int8: bool = False) -> Trial:
        """Remove filters, make integers of what is left if asked for, and nothing else."""
        plan = Plan(filters=round(filters, 4), int8=int8)
        return self._known(plan) or self.trials.add(plan, self.dense[0].sizes)

    def by(self, base: Base, plan: Plan) -> Trial:
        """Train by a plan, if it is a new one, and learn how far its prediction was off."""
        if (known := self._known(plan)) is not None:
            return known
        trial = self.trials.add(plan, base.sizes)
        if trial.row:
            base.learn(plan, trial.row)
        return trial

    def _known(self, plan: Plan) -> Trial | None:
        """What became of a plan that makes the same, whatever was predicted of it, if one was tried."""
        return next((trial for trial in self.trials.found if trial.plan.digest == plan.digest), None)

    def answer(self, row: Mapping, slack: float) -> bool:
        """Whether a model keeps to the bounds on its answers, or nearly."""
        bounds = [bound for bound in self.trials.goal.bounds if bound.key in ANSWERS]
        return all(bound.excess(row) <= slack for bound in bounds)

    def are_shaped(self, row: Mapping) -> bool:
        """Whether a model keeps to the bounds that only its shapes decide."""
        return all(bound.excess(row) <= 0 for bound in self.trials.goal.bounds if bound.key in STRUCTURE)
