"""The models that a search makes, each once, what is expected of them, and what is asked."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from effdl.search.base import Base
from effdl.search.forecast import PER_HALVING, accuracies, accuracy_lost, expected, halvings
from effdl.search.goal import ANSWERS, LATENCY_PART, STRUCTURE, WEIGHTS, Bound
from effdl.search.plan import Plan
from effdl.search.trial import Trial
from effdl.search.trials import Trials

NEAR = 1.03  # ratio of two budgets, or of two models' MACs, that are as good as equal
LEAST = 0.02  # of the MACs, below which no model is tried
SLACK = 0.02  # of an accuracy, by which a model may miss the bound before its weights are pruned and trained on
_TIMES = ("latency_ms", LATENCY_PART)
_CERTAIN = 0.95  # of a bound on latency, below which a time that was measured once will be below it again
_HOPELESS = 20.0  # nats, by which a loss grew: no training brought such a model back


@dataclass(frozen=True)
class Models:
    """What can be made of a dense model.

    Args:
        trials: the runs.
        dense: the trained model with the tables of its layers, once for each family of choices.
        dry_run: the metrics that shapes decide, of a plan that is carried out without training; empty if it cannot be.
        sizes: elements of each layer's weight, by the digest of the plan that changes them.
    """

    trials: Trials
    dense: Sequence[Base]
    dry_run: Callable[[Plan], Mapping[str, float]]
    sizes: dict[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def have_int8(self) -> bool:
        """Whether 8-bit integers are tried at all."""
        return any(base.family.int8 for base in self.dense)

    @property
    def are_faster_in_int8(self) -> bool:
        """Whether 8-bit integers make the dense model faster, by a dry run."""
        return self.have_int8 and self.dry_run(Plan(int8=True)).get(LATENCY_PART, 1.0) < 1.0

    @property
    def numbers(self) -> list[bool]:
        """Whether integers are computed with, of the kinds of models that are tried, the faster one first.

        Integers are if they are faster, keep to the bounds on shapes as they are, or take less memory than is allowed.
        """
        if not self.have_int8:
            return [False]
        if self.are_faster_in_int8:
            return [True, False]
        memory = any(bound.key == "peak_activation_bytes" for bound in self._shape_bounds)
        return [False, True] if memory or self.fit(0.0, int8=True) else [False]

    @property
    def fitting(self) -> dict[bool, float]:
        """Those of `numbers` with which some model keeps to the bounds on shapes, and the fewest filters (as the
        fraction of the MACs) that must go for that, by dry runs."""
        least = {int8: self.mildest(int8) for int8 in self.numbers}
        return {int8: filters for int8, filters in least.items() if filters is not None and self.fit(filters, int8)}

    def without(self, filters: float, int8: bool = False) -> Trial:
        """Remove filters, make integers of what is left if asked for, and nothing else.

        Of fractions with which as many filters go, one is tried.
        """
        plan = Plan(filters=round(filters, 4), int8=int8)
        shapes = self.dry_run(plan)
        if (known := self._known(plan) or self._alike(plan, shapes)) is not None:
            return known
        return self.trials.add(replace(plan, predicted={**shapes, **self._accuracies(plan)}), self.dense[0].sizes)

    def by(self, base: Base, plan: Plan) -> Trial:
        """Train by a plan, if it is a new one, and learn how far its prediction was off."""
        self.sizes[plan.digest] = base.sizes
        if (known := self._known(plan)) is not None:
            return known
        shapes = self.dry_run(Plan(filters=plan.filters, int8=plan.int8))
        trial = self.trials.add(replace(plan, predicted={**shapes, **plan.predicted}), base.sizes)
        if trial.row:
            base.learn(plan, trial.row)
        return trial

    def fit(self, filters: float, int8: bool = False, more: Sequence[Bound] = ()) -> bool:
        """Whether the shapes that are left keep to the bounds on them, and to more, by a dry run."""
        shapes = self._dry(filters, int8)
        return bool(shapes) and self._keep(shapes, more)

    def mildest(self, int8: bool = False, more: Sequence[Bound] = ()) -> float | None:
        """The fewest filters to remove such that shapes keep to the bounds on them, and to more, by dry runs, as the
        fraction of the MACs that goes; if none are enough, the most that can be removed; None: none can."""
        if not [*self._shape_bounds, *more] or self.fit(0.0, int8, more):
            return 0.0
        many, few = 1.0, LEAST  # parts of the MACs that are left
        while many > few * NEAR:
            left = math.sqrt(many * few)
            shapes = self._dry(1 - left, int8)
            if shapes and not self._keep(shapes, more):
                many = left
            else:
                few = left
        left = few if self.fit(1 - few, int8, more) else many
        return 1 - left if left < 1 else None

    def try_smallest(self) -> None:
        """Try the smallest model, as none fits: it is the nearest, or its run says why no filter can be removed."""
        if self.trials.may_go_on:
            filters = self.mildest()
            self.without(0.5 if filters is None else filters)

    def may_hold_if_pruned(self, row: Mapping) -> bool:
        """Whether a model that answers well enough, or nearly, misses a bound on its weights."""
        bounds = [bound for bound in self.trials.goal.bounds if bound.key in WEIGHTS]
        return bool(row) and self.answer(row, SLACK) and any(bound.excess(row) > 0 for bound in bounds)

    def _dry(self, filters: float, int8: bool) -> Mapping[str, float]:
        """A dry run without these filters, its times longer by what they vary."""
        shapes = self.dry_run(Plan(filters=round(filters, 4), int8=int8))
        certain = _CERTAIN if filters or int8 else 1.0  # the dense model is not timed again
        return {key: value / (certain if key in _TIMES else 1) for key, value in shapes.items()}

    def _keep(self, shapes: Mapping, more: Sequence[Bound]) -> bool:
        """Whether shapes keep to the bounds on them and to more."""
        return all(bound.excess(shapes) <= 0 for bound in (*self._shape_bounds, *more))

    @property
    def _shape_bounds(self) -> list[Bound]:
        """The bounds that only shapes decide."""
        return [bound for bound in self.trials.goal.bounds if bound.key in STRUCTURE]

    def longer(self, trial: Trial) -> Trial:
        """Make the same model with twice as many epochs of fine-tuning; it is expected to be as before."""
        plan = replace(trial.plan, longer=True, predicted=self._of_before(trial))
        return self.trials.add(plan, self.sizes.get(trial.plan.digest, self.dense[0].sizes))

    def may_learn_longer(self, trial: Trial) -> bool:
        """Whether a trial trains, and was not made with longer training yet."""
        made = trial.plan.longer or self._known(replace(trial.plan, longer=True))
        return trial.plan.trains and not made

    def _of_before(self, trial: Trial) -> dict[str, float]:
        """What a trial has of what was predicted."""
        return {key: trial.row[key] for key in trial.plan.predicted if trial.row.get(key) is not None}

    def _known(self, plan: Plan) -> Trial | None:
        """What became of a plan that makes the same, whatever was predicted of it, if one was tried."""
        return next((trial for trial in self.trials.found if trial.plan.digest == plan.digest), None)

    def _alike(self, plan: Plan, shapes: Mapping[str, float]) -> Trial | None:
        """A trial that removed as many filters as another fraction would, if there is one."""
        alike = [trial for trial in self._thinned(plan.int8) if trial.plan.filters and plan.filters and trial.row]
        keys = [key for key in ("params", "macs") if key in shapes]
        return next((one for one in alike if keys and all(one.row[key] == shapes[key] for key in keys)), None)

    def _thinned(self, int8: bool) -> list[Trial]:
        """The trials that did nothing but remove filters, in floats or in integers."""
        plain = [trial for trial in self.trials.found if not trial.plan.layers and not trial.plan.longer]
        return [trial for trial in plain if trial.plan.int8 == int8]

    def _accuracies(self, plan: Plan) -> dict[str, float]:
        """What is expected of a model without filters, by what is known of others."""
        tried = [trial for trial in self._thinned(plan.int8) if trial.row]
        found = {}
        for key, dense in accuracies(self.dense[0].row).items():
            known = [(halvings(trial.plan.filters), dense - trial.row[key]) for trial in tried]
            found[key] = expected(dense, accuracy_lost(halvings(plan.filters), known, PER_HALVING))
        return found

    def answer(self, row: Mapping, slack: float) -> bool:
        """Whether a model keeps to the bounds on its answers, or nearly."""
        bounds = [bound for bound in self.trials.goal.bounds if bound.key in ANSWERS]
        return all(bound.excess(row) <= slack for bound in bounds)

    def are_shaped(self, row: Mapping) -> bool:
        """Whether a model keeps to the bounds that only its shapes decide."""
        return self._keep(row, ())

    def may_come_back(self, base: Base, plan: Plan) -> bool:
        """Whether training may mend what a plan harms."""
        return plan.predicted["val_loss"] - base.row["val_loss"] <= _HOPELESS
