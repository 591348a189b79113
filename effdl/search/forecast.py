"""How much accuracy a plan will have cost after its training, from what plans before it cost."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from effdl.search.goal import ACCURACIES, column
from effdl.search.solver import not_falling

PER_NAT, PER_HALVING = 0.05, 0.01  # of an accuracy that is lost while nothing is known: by loss, and by MACs


def accuracies(row: Mapping) -> dict[str, float]:
    """The accuracies in a row that a choice reads, by column."""
    return {column(key): row[column(key)] for key in ACCURACIES if row.get(column(key)) is not None}


def accuracy_lost(harm: float, known: Sequence[tuple[float, float]], usual: float = PER_NAT) -> float:
    """The accuracy that is lost in the end, by what is known of a model before any training.

    Between known points it is interpolated in their isotonic regression, as a plan that harms more is not better after
    training, and between the first and no harm, with which nothing is lost. Beyond the last it grows as it has on
    average.

    Args:
        harm: by how much the loss grew, in nats, or how often the MACs were halved.
        known: the same of trained models, with the accuracy that each has lost.
        usual: what is lost for each unit of harm while nothing is known.

    Returns:
        A fraction of 1; negative if training gains.
    """
    if not known:
        return usual * harm
    harms, lost = np.array(sorted(known)).T
    fitted = not_falling(lost)
    harms, fitted = np.append(0.0, harms), np.append(min(0.0, fitted[0]), fitted)
    slope = max(fitted[-1], 0.0) / harms[-1] if harms[-1] > 0 else usual
    return float(np.interp(harm, harms, fitted) + max(harm - harms[-1], 0.0) * slope)


def expected(accuracy: float, lost: float) -> float:
    """The accuracy that is left."""
    return min(1.0, max(0.0, accuracy - lost))


def halvings(filters: float) -> float:
    """How often removed filters halve the MACs.

    Args:
        filters: fraction of the MACs that they save.
    """
    return -math.log2(1 - filters)
