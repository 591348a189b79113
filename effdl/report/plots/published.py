"""Published models to compare with: points over the picture of accuracy against parameters or MACs.

``published.csv`` has what their papers say, each with its table; a number that the table does not give is empty.
"""

import csv
import math
from collections.abc import Sequence
from importlib.resources import files
from textwrap import wrap
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

_COLUMNS = {"params_nonzero": "params", "macs": "macs"}  # of the file, for what is on the axis
_MARK = {"linestyle": "", "marker": "x", "color": "0.55", "markersize": 5, "zorder": 1}


class Published(NamedTuple):
    """A dense model: its cost, its top-1 accuracy and the table that says so."""

    model: str
    cost: float
    top1: float
    source: str


def published(dataset: str | None, key: str) -> list[Published]:
    """The models that were published for a data set, with what they cost by a metric; none for most."""
    column = _COLUMNS.get(key)
    return [
        Published(row["model"], float(row[column]), 1 - float(row["error1"]), row["source"])
        for row in _table()
        if column and row["dataset"] == dataset and row[column]
    ]


def datasets() -> list[str]:
    """The data sets for which there are published models."""
    return list(dict.fromkeys(row["dataset"] for row in _table()))


def _table() -> list[dict[str, str]]:
    """The rows of the file."""
    text = (files("effdl.report.plots") / "published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def overlay(axes: Axes, models: list[Published], horizontal: float, vertical: float) -> None:
    """Draw the models with their names beneath the points of a panel, whose limits widen to have them.

    Args:
        horizontal, vertical: what costs and accuracies are multiplied with on the axes.
    """
    xs, ys = [model.cost * horizontal for model in models], [model.top1 * vertical for model in models]
    middle = math.sqrt(min(xs) * max(xs))
    low, high = axes.get_ylim()
    axes.plot(xs, ys, **_MARK)
    for model, x, y in zip(models, xs, ys, strict=True):
        inside = {"xytext": (-4, 3), "ha": "right"} if x > middle else {"xytext": (4, -3)}  # names stay in the panel
        axes.annotate(model.model, (x, y), textcoords="offset points", fontsize=6, color="0.45", zorder=1, **inside)
    axes.set_ylim(low, max(high, max(ys) + 0.05 * (max(ys) - low)))


def legend_entry(models: Sequence[Published]) -> Line2D:
    """What the legend says of them: that they are dense, and their sources."""
    sources = "; ".join(dict.fromkeys(model.source for model in models))
    return Line2D([], [], **_MARK, label="\n".join(["published, dense:", *wrap(sources, 30)]))
