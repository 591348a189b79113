"""The Pareto front: the points that no other point dominates. Pure functions; standard library only."""

import math
from collections.abc import Sequence

MIN, MAX = "min", "max"


def front(points: Sequence[Sequence[float]], objectives: Sequence[str]) -> list[int]:
    """Indices of the points that no other point dominates, the best in the first objective first.

    One point dominates another if it is at least as good in every objective and better in one (Deb et al.,
    NSGA-II, 2002, section III-A), so equal points are on the front together.

    Args:
        points: one sequence of numbers per point, all of the length of `objectives`.
        objectives: "min" or "max" for each number.

    Raises:
        ValueError: an objective is neither, or a point has another length or contains NaN.
    """
    if wrong := set(objectives) - {MIN, MAX}:
        raise ValueError(f"objectives {sorted(wrong)}: allowed are {MIN} and {MAX}")
    costs = [
        tuple(value if goal == MIN else -value for value, goal in zip(point, objectives, strict=True))
        for point in points
    ]
    if any(math.isnan(value) for cost in costs for value in cost):
        raise ValueError("a point with NaN is neither better nor worse than another")
    found: list[int] = []
    for i in sorted(range(len(costs)), key=costs.__getitem__):  # points that dominate a point come before it
        if not any(_dominates(costs[j], costs[i]) for j in found):
            found.append(i)
    return found


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the costs of `one` are nowhere higher than those of `other`, and somewhere lower."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
