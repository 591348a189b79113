"""Ticks of logarithmic axes."""

import math
from collections.abc import Iterable

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator

_DECADES = 2.5  # values that span no more get ticks between the powers of ten


def plain_ticks(axis: Axis, values: Iterable[float]) -> None:
    """Plain numbers, which are also drawn faster than powers of ten, on the logarithmic axis of these values."""
    values = list(values)
    few = math.log10(max(values) / min(values)) < _DECADES
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter("{x:,.10g}")
