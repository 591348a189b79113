"""Where a front of accuracies against costs says least: the cost of the model to train next."""

import itertools
import math
from collections.abc import Iterable, Mapping

_OF_INTEREST = 0.2  # of an accuracy, by which a model may be worse than the best before it does not matter by how much
_RESOLUTION = 0.005  # of an accuracy: what is worth to know where two models answer alike


def widest_gap(found: Mapping[float, float], empty: Iterable[float], near: float) -> float | None:
    """The cost in the middle of the widest gap, by ratios; None if all are narrow.

    The width of a gap is what the hypervolume may gain in it (Zitzler & Thiele 1998): the logarithm of the ratio of its
    costs, times the difference of the best answers within them.

    Args:
        found: accuracies by cost; costs that are not above 0 do not count.
        empty: costs that were aimed at, and where no model is known.
        near: ratio of costs that are as good as equal.
    """
    best, least = [], max(found.values(), default=0.0) - _OF_INTEREST
    for cost in sorted(cost for cost in {*found, *empty} if cost > 0):
        best.append((cost, max([least, *(value for own, value in found.items() if own <= cost)])))
    gaps = [
        (math.log(high / low) * (after - before + _RESOLUTION), math.sqrt(low * high))
        for (low, before), (high, after) in itertools.pairwise(best)
        if high > low * near
    ]
    return max(gaps, default=(0.0, None))[1]
