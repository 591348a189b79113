"""The choice of one option for each layer under bounds on sums: an integer program, solved by SciPy's HiGHS; and
isotonic regression, which is of the same library."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from effdl.utils.errors import UserError

try:
    from scipy.optimize import Bounds, LinearConstraint, isotonic_regression, milp
except ImportError as error:
    raise UserError(f"search: {error}; install it with: pip install 'effdl[search]'") from error

_GAP = 1e-3  # of the sum of losses, within which a choice is as good as the best


def choose(
    losses: Sequence[np.ndarray], costs: Mapping[str, Sequence[np.ndarray]], budgets: Mapping[str, float]
) -> list[int] | None:
    """For each layer the option such that the sum of losses is least and no sum of costs is above its budget.

    It is the multiple-choice knapsack problem, with one constraint for each cost (Kellerer, Pferschy & Pisinger 2004,
    "Knapsack Problems", chapter 11).

    Args:
        losses: one array (options,) for each layer.
        costs: by name, arrays of the same shapes.
        budgets: by the names of costs; a cost without one is not bound.

    Returns:
        The index of the chosen option of each layer, or None if there is no choice within the budgets.
    """
    counts = [len(loss) for loss in losses]
    one_each = np.repeat(np.eye(len(counts)), counts, axis=1)  # (layers, options of all layers)
    constraints = [LinearConstraint(one_each, 1, 1)]
    for name, budget in budgets.items():
        row = np.concatenate(costs[name])
        scale = max(float(row.sum()), 1.0)  # numbers near 1 for the solver
        constraints.append(LinearConstraint(row[None] / scale, -np.inf, budget / scale))
    options = {"mip_rel_gap": _GAP}
    with _silent():
        found = milp(
            np.concatenate(losses), integrality=1, bounds=Bounds(0, 1), constraints=constraints, options=options
        )
    if found.x is None:
        return None
    ends = np.cumsum(counts)[:-1]
    return [int(part.argmax()) for part in np.split(found.x, ends)]


def not_falling(values: np.ndarray) -> np.ndarray:
    """The values nearest to these, by squares, none of which is below the one before it (n,): their isotonic
    regression (Barlow, Bartholomew, Bremner & Brunk 1972, "Statistical Inference under Order Restrictions")."""
    return isotonic_regression(values).x


@contextmanager
def _silent() -> Iterator[None]:
    """Leave out what HiGHS prints for its developers, past Python's own streams."""
    sys.stdout.flush()
    own = os.dup(1)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(own, 1)
        os.close(own)
