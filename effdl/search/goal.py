"""What a search is asked: bounds on metrics, one metric to optimize, and limits on the search itself."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from effdl.measure.metrics import metric, on_test, on_validation
from effdl.measure.pareto import MAX
from effdl.utils.errors import UserError, nearest

# What decides a metric: how well the model answers, the shapes of its layers, or the values of its weights.
LATENCY_PART = "latency_part"  # a column of the search's own: 1 / speed-up, which was measured in turns
ACCURACIES = ("top1", "top5")
ANSWERS = (*ACCURACIES, "loss")
STRUCTURE = ("params", "macs", "peak_activation_bytes", "latency_ms")
WEIGHTS = ("size_bytes", "params_nonzero", "macs_nonzero", "course_score", "micronet_score")
METHODS = ("filters", "magnitude", "lsq", "int8")  # of compression, that make a model smaller, in their order
_KEYS = (*ANSWERS, *WEIGHTS, *STRUCTURE)
_NUMBER = r"[0-9.]+(?:e[+-]?[0-9]+)?"
_FORMS = {  # of a bound's value: the number itself, and what is relative to the dense model
    "absolute": re.compile(rf"({_NUMBER})"),
    "factor": re.compile(rf"({_NUMBER})\*dense"),
    "difference": re.compile(rf"dense([+-]{_NUMBER})"),
}
_LIMITS = {"trials": 12.0, "hours": None, "co2eq_g": None}


@dataclass(frozen=True)
class Bound:
    """A bound on a metric, from below if more of it is better, else from above.

    Args:
        key: of the metric.
        value: the bound; with `form` "factor" or "difference" relative to the dense model's.
        form: see `_FORMS`.
        column: of a stage's row, which is compared: never one of the test split.
    """

    key: str
    value: float
    form: str = "absolute"
    column: str = ""

    def __post_init__(self) -> None:
        if not self.column:
            object.__setattr__(self, "column", column(self.key))

    def resolved(self, dense: Mapping) -> "Bound":
        """The bound as a number. As a part of the dense model's latency it is compared with what the two had in turns.

        Raises:
            UserError: the dense model has no such value.
        """
        if self.form == "absolute":
            return self
        if self.form == "factor" and self.key == "latency_ms":
            return Bound(self.key, self.value, column=LATENCY_PART)
        if (there := dense.get(self.column)) is None:
            raise UserError(f"budget.{self.key}: the dense model has no {self.column} to be relative to")
        value = self.value * there if self.form == "factor" else there + self.value
        return Bound(self.key, value)

    def excess(self, row: Mapping) -> float:
        """How far a model is on the wrong side: as part of the bound, of an accuracy in absolute terms. At most 0: it
        holds. Infinite if it was not measured."""
        if (value := row.get(self.column)) is None:
            return float("inf")
        beyond = self.value - value if metric(self.key).better == MAX else value - self.value
        return beyond if metric(self.key).better == MAX or not self.value else beyond / self.value


@dataclass(frozen=True)
class Goal:
    """Bounds that must hold, the metric to make as good as possible, and where the search stops.

    Args:
        objective: a key; with `against` that of a cost.
        trials: number of compressed models that are trained, at most.
        hours: of all runs together; None: no limit.
        co2eq_g: grams of all runs together; None: no limit.
        against: key of the answer of which a front is wanted, for each cost the best; None: one model is.
    """

    bounds: tuple[Bound, ...]
    objective: str
    trials: int
    hours: float | None = None
    co2eq_g: float | None = None
    against: str | None = None

    @property
    def keys(self) -> list[str]:
        """The metrics that are bound or optimized, each once."""
        against = [self.against] if self.against else []
        return list(dict.fromkeys([*(bound.key for bound in self.bounds), self.objective, *against]))

    def resolved(self, dense: Mapping) -> "Goal":
        """The goal with all bounds as numbers, see `Bound.resolved`."""
        return replace(self, bounds=tuple(bound.resolved(dense) for bound in self.bounds))

    def holds(self, row: Mapping) -> bool:
        """Whether a model keeps to all bounds."""
        return all(bound.excess(row) <= 0 for bound in self.bounds)

    def spent(self, costs: Mapping[str, float]) -> bool:
        """Whether no more time or CO2 is left.

        Args:
            costs: ``duration_s`` and ``co2eq_g`` of all runs together.
        """
        hours, grams = costs["duration_s"] / 3600, costs["co2eq_g"]
        return (self.hours is not None and hours >= self.hours) or (self.co2eq_g is not None and grams >= self.co2eq_g)

    def worst(self, row: Mapping) -> Bound:
        """The bound that a model is furthest beyond, or nearest to."""
        return max(self.bounds, key=lambda bound: bound.excess(row))

    def cost(self, row: Mapping) -> float:
        """The objective as a cost, infinite if it was not measured; of latencies those that were measured in turns."""
        if self.objective == "latency_ms" and row.get(LATENCY_PART) is not None:
            return row[LATENCY_PART]
        value = metric(self.objective).cost(row.get(column(self.objective)))
        return float("inf") if value is None else value

    def answer(self, row: Mapping) -> float:
        """What a front is of, more of it being better: an accuracy, or the loss below 0; least if not measured."""
        value = metric(self.against).cost(row.get(column(self.against)))
        return -float("inf") if value is None else -value

    def of(self, keys: Sequence[str]) -> dict[str, float]:
        """The bounds on some metrics, by key."""
        return {bound.key: bound.value for bound in self.bounds if bound.key in keys}


def column(key: str) -> str:
    """The column in which a choice reads a metric: what the test split says of a model is for reading only."""
    return on_validation(key) if on_test(key) else key


def parse_goal(words: Sequence[str]) -> Goal:
    """The goal in ``budget.KEY=BOUND``, ``minimize=KEY``, ``maximize=KEY`` and ``limit.KEY=NUMBER``.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    bounds, limits, objectives = {}, dict(_LIMITS), []
    for word in words:
        name, _, value = word.partition("=")
        group, _, key = name.partition(".")
        if group == "budget":
            bounds[_one_of(key, _KEYS, word)] = _bound(key, value, word)
        elif group == "limit":
            limits[_one_of(key, _LIMITS, word)] = _positive(value, word)
        else:
            objectives.append(_objective(name, value, word))
    objectives.sort(key=lambda key: key in ANSWERS)
    if len(objectives) != 1 and [key in ANSWERS for key in objectives] != [False, True]:
        given = " ".join(word for word in words if word.startswith(("minimize", "maximize"))) or "no minimize="
        allowed = f"minimize=KEY or maximize=KEY, or for a front one of {', '.join(ANSWERS)} and one of the others"
        raise UserError(f"{given}: not what a search optimizes (allowed: {allowed})")
    if not bounds and len(objectives) == 1:
        raise UserError("no budget.KEY=BOUND: without a bound the best is the dense model, or none (see --help)")
    if int(limits["trials"]) != limits["trials"]:
        raise UserError(f"limit.trials={limits['trials']:g}: allowed is a whole number >= 1")
    objective, against = [*objectives, None][:2]
    return Goal(tuple(bounds.values()), objective, int(limits["trials"]), limits["hours"], limits["co2eq_g"], against)


def _one_of(key: str, allowed: Sequence[str] | Mapping, word: str) -> str:
    """A key, if it is allowed.

    Raises:
        UserError: it is not.
    """
    if key not in allowed:
        raise UserError(f"{word}: {key!r} is not among {', '.join(allowed)}{nearest(key, allowed)}")
    return key


def _bound(key: str, value: str, word: str) -> Bound:
    """A bound from its text.

    Raises:
        UserError: it is none.
    """
    for form, pattern in _FORMS.items():
        if found := pattern.fullmatch(value.replace(" ", "")):
            return Bound(key, float(found[1]), form)
    raise UserError(f"{word}: allowed is a number, such as {_example(key)}, FACTOR*dense, or dense-DIFFERENCE")


def _example(key: str) -> str:
    """A value that the metric may have."""
    return "0.97" if metric(key).better == MAX else "12e3"


def _positive(value: str, word: str) -> float:
    """A number above 0.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(_NUMBER, value) or not (number := float(value)):
        raise UserError(f"{word}: allowed is a number above 0")
    return number


def _objective(name: str, value: str, word: str) -> str:
    """The metric to optimize, in the direction in which it gets better.

    Raises:
        UserError: it is none, or the direction is the other.
    """
    key = _one_of(value, _KEYS, word)
    better = "maximize" if metric(key).better == MAX else "minimize"
    if name != better:
        raise UserError(f"{word}: allowed is {better}={key}")
    return key
