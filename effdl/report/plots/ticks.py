"""Ticks of logarithmic axes."""

import math

from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

_LEAST, _MOST = 3, 7  # labels on an axis
_FACTORS = ((1, 2, 5), (1, 3), (1,), (1, 1.5, 2, 3, 5, 7))  # the first of these that make a good number


def plain_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis whose limits are final; they are also drawn faster than powers of ten."""
    axis.set_major_locator(FixedLocator(log_ticks(*sorted(axis.get_view_interval()))))
    axis.set_major_formatter("{x:,.10g}")
    axis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers from a logarithmic axis; evenly spaced ones where it spans little."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tried = [
        [tick for power in powers for factor in factors if low <= (tick := factor * 10.0**power) <= high]
        for factors in _FACTORS
    ]
    for ticks in tried:
        if _LEAST <= len(ticks) <= _MOST:
            return ticks
    decades = tried[2]
    if len(decades) > _MOST:
        return decades[:: math.ceil(len(decades) / _MOST)]
    return [tick for tick in MaxNLocator(5, min_n_ticks=_LEAST).tick_values(low, high) if low <= tick <= high]
