"""How a metric is shown on an axis, or above a column whose numbers share a unit."""

from collections.abc import Sequence
from typing import NamedTuple

from effdl.measure.metrics import Metric, metric


class _Axis(NamedTuple):
    """An axis: its label, what stored numbers are multiplied with, and which way is better ("min", "max" or None)."""

    label: str
    scale: float
    better: str | None


def axis(key: str, values: Sequence[float] = ()) -> _Axis:
    """The axis of a metric for these stored numbers, whose unit has the SI prefix that fits them."""
    return axis_of(metric(key), values)


def axis_of(shown: Metric, values: Sequence[float] = ()) -> _Axis:
    """The axis of an entry of the registry, see `axis`."""
    symbol, scale = shown.unit.on_axis(values)
    return _Axis(f"{shown.name} ({symbol})" if symbol else shown.name, scale, shown.better)
