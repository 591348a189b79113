"""The interval of a mean of a few values, such as one per fold. Standard library only."""

import math
from collections.abc import Sequence
from statistics import mean, stdev

_CONFIDENCE = 0.95


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Lower and upper end of the 95 % interval of the mean by Student's t (1908), n - 1 degrees of freedom.

    Args:
        values: at least two, taken for independent draws of one normal distribution.
    """
    half = t_quantile(_CONFIDENCE, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def t_quantile(probability: float, degrees: int) -> float:
    """The t for which Student's distribution has this probability between -t and t; `probability` is above 0, below 1.

    By bisection of the angle atan(t / sqrt(degrees)), in which t is bounded.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < probability else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(angle: float, degrees: int) -> float:
    """The probability between -t and t for t = sqrt(degrees) tan(angle) (Abramowitz & Stegun 1964, 26.7.3, 26.7.4)."""
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
