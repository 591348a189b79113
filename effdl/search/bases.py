"""The models without some filters, whose weights a search prunes and quantizes."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from effdl.search.base import Base
from effdl.search.models import SLACK, Models
from effdl.search.plan import Plan
from effdl.search.trial import Trial

LADDER = (0.5, 0.75, 0.875, 0.94)  # fractions of the MACs that removed filters save
_ATTEMPTS = 3  # to meet a budget with one model


def make_bases(
    models: Models, bases_of: Callable[[Trial], Sequence[Base]], ladder: Sequence[float] = LADDER
) -> list[Base]:
    """Those whose shapes keep to the bounds, while they answer well enough; a third of the trials is spent on them.

    Args:
        models: what can be made.
        bases_of: the bases of a trial that removed filters.
        ladder: how many filters are removed, besides what bounds on shapes ask for.
    """
    if not (kinds := models.fitting):
        models.try_smallest()
        return []
    shaped = list(_shaped(models, 0.0, models.are_shaped(models.dense[0].row), kinds))
    found = [base for base in models.dense if base.family.int8 in shaped]
    levels = models.trials.goal.trials // (3 * len(kinds))
    for filters in _within_bounds(ladder, set(kinds.values()))[: levels if found else max(1, levels)]:
        if not models.trials.may_go_on:
            break
        trial = models.without(filters)
        if not trial.row or not models.answer(trial.row, SLACK):
            break
        shaped = list(_shaped(models, filters, models.are_shaped(trial.row), kinds))
        found += [base for base in bases_of(trial) if base.family.int8 in shaped] if shaped else []
    return found


def meet(models: Models, base: Base, budgets: Mapping[str, float], may_go_on: Callable[[], bool]) -> bool:
    """Prune and quantize the weights of a model to budgets; again, better predicted, if they are missed.

    Args:
        may_go_on: whether one more model may be trained.

    Returns:
        Whether all bounds hold.
    """
    for _ in range(_ATTEMPTS):
        if not may_go_on():
            return False
        trial = models.by(base, base.plan(budgets))
        if trial.holds or not trial.row or all(trial.row[key] <= budget for key, budget in budgets.items()):
            return trial.holds
    return False


def planned(bases: Sequence[Base], budgets: Mapping[str, float]) -> list[tuple[Base, Plan]]:
    """Each model with its plan within budgets, that of least predicted loss first."""
    plans = [(base, base.plan(budgets)) for base in bases]
    return sorted(plans, key=lambda pair: pair[1].predicted["val_loss"])


def _shaped(models: Models, filters: float, floats: bool, kinds: Collection[bool]) -> Iterator[bool]:
    """Whether integers are computed with, of those kinds of models without these filters that keep to the bounds on
    shapes.

    Args:
        floats: whether the model of floats does.
        kinds: that may.
    """
    if floats:
        yield False
    if True in kinds and models.trials.may_go_on and models.fit(filters, int8=True):
        row = models.without(filters, int8=True).row
        if row and models.are_shaped(row):
            yield True


def _within_bounds(ladder: Sequence[float], enough: set[float]) -> list[float]:
    """How many filters are removed: first as few as the bounds on shapes ask for, of floats and of integers."""
    return sorted(enough - {0.0}) + [filters for filters in ladder if filters > max(enough)]
