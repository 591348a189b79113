"""Accuracy against a cost as one panel: a mark per point, and the Pareto front."""

import math
from itertools import product
from statistics import median
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from effdl.measure.metrics import deciding, split_of
from effdl.measure.pareto import MAX, MIN, front
from effdl.report.plots.axis import axis
from effdl.report.plots.marks import BASELINE
from effdl.report.plots.points import Point
from effdl.report.plots.ticks import plain_ticks

MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "plus": "P",
    "cross": "X",
    "wedge": "v",
    "star": "*",
    "diamond": "D",
}
_RING = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": "0.2", "markeredgewidth": 0.9}
_WIDE = 8  # a logarithmic axis from this ratio of the largest to the smallest value
_MANY = 10  # fewer points than that are all on the axis
_FAR = 8  # an accuracy is off the axis if it is this many times as far from the best one as the median is


def _style(mark: tuple[str, str], colour: str | None = None) -> dict:
    """What `matplotlib.lines.Line2D` calls a colour and shape of `effdl.report.plots.marks`; baselines are hollow.

    Args:
        colour: that of the model, instead of the mark's.
    """
    own, shape = mark
    hollow = mark == BASELINE
    edge, colour = colour or "0.25", colour or own
    return {
        "marker": MARKERS[shape],
        "markersize": 9 if shape == "star" else 7,
        "markerfacecolor": "white" if hollow else colour,
        "markeredgecolor": edge if hollow else "white",
        "markeredgewidth": 1.5 if hollow else 0.5,
    }


def points_with(points: list[Point], *keys: str) -> list[Point]:
    """The points that have all these values."""
    return [point for point in points if None not in map(point.mean, keys)]


def scatter(
    axes: Axes, points: list[Point], marks: dict, x: str, y: str, models: dict[str, str] | None = None
) -> list[Point]:
    """Draw the points that have both values, and the Pareto front; returns the points on it.

    The front is a choice: accuracies count as they are on the validation split, of the points that were measured on
    it; on the test split if none was.

    Args:
        marks: colour and shape by the kind of a point.
        models: the colours of several models, instead of those of the kinds.
    """
    chosen = points_with(points, x, y)
    horizontal, vertical = axis(x, [point.mean(x) for point in chosen]), axis(y)
    at = [(point.mean(x) * horizontal.scale, point.mean(y) * vertical.scale) for point in chosen]
    for kind, model in product(marks, dict.fromkeys(point.model for point in chosen)):
        group = [i for i, point in enumerate(chosen) if (point.kind, point.model) == (kind, model)]
        mark, colour = marks[kind], (models or {}).get(str(model))
        axes.errorbar(
            [at[i][0] for i in group],
            [at[i][1] for i in group],
            xerr=[chosen[i].spread(x) * horizontal.scale or math.nan for i in group],
            yerr=[chosen[i].spread(y) * vertical.scale or math.nan for i in group],
            linestyle="",
            **_style(mark, colour),
            ecolor=colour or mark[0],
            elinewidth=1,
            capsize=2,
            zorder=4 if mark == BASELINE else 3,
        )
    by = _decided_by(chosen, y)
    entered = [i for i, point in enumerate(chosen) if point.mean(by) is not None]
    values = [(at[i][0], chosen[i].mean(by) * vertical.scale) for i in entered]
    best = [entered[i] for i in front(values, (horizontal.better or MIN, vertical.better or MAX))]
    xs, ys = zip(*(at[i] for i in best), strict=True)
    stairs = "steps-post" if by == y else "default"  # what lies behind stairs is surpassed: so it is on one split only
    axes.plot(xs, ys, drawstyle=stairs, color="0.35", linewidth=1.2, zorder=2)
    axes.plot(xs, ys, linestyle="", **_RING, zorder=5)
    runtimes = {row.get("latency_runtime") for point in chosen for row in point.rows if x == "latency_ms"} - {None}
    axes.set_xlabel(
        "\n".join(
            [
                horizontal.label,
                *wrap(
                    ", ".join(sorted(runtimes)).replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", "),
                    60,
                ),
            ]
        )
    )
    axes.set_ylabel(vertical.label)
    axes.grid(alpha=0.25)
    spread_x(axes, [across for across, _ in at])
    cut_y(axes, at, [point.mean(y) * vertical.scale for point in points_with(points, y)])
    return [chosen[i] for i in best]


def _decided_by(points: list[Point], accuracy: str) -> str:
    """The key by which points are on the front."""
    return deciding(accuracy, [row for point in points for row in point.rows])


def spread_x(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis with plain numbers where the values span much, else few ticks, whose numbers may be long."""
    axes.margins(0.08)
    axes.locator_params("x", nbins=5)
    if min(values) > 0 and max(values) / min(values) >= _WIDE:
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)


def cut_y(axes: Axes, at: list[tuple[float, float]], accuracies: list[float], keep: float = math.inf) -> None:
    """Leave out accuracies so low that the others could not be told apart: a wedge at the edge says where they are.

    Args:
        at: where the points are.
        accuracies: theirs.
        keep: an accuracy that stays, and all above it.
    """
    best = max(accuracies)
    lowest = min(best - _FAR * (best - median(accuracies)) - 1, keep)
    low = [point for point in at if point[1] < lowest]
    kept = [accuracy for accuracy in accuracies if accuracy >= lowest]
    gain = (best - min(accuracies)) / max(best - min(kept), 1)
    if not low or len(accuracies) < _MANY or gain < 2:
        return
    room = 0.08 * (best - min(kept)) + 0.1
    axes.set_ylim(min(kept) - 1.5 * room, best + room)
    axes.plot(
        [x for x, _ in low],
        [0.015] * len(low),
        "v",
        color="0.35",
        markersize=6,
        transform=axes.get_xaxis_transform(),
        zorder=6,
    )
    said = f"{len(low)} below the axis, down to {min(y for _, y in low):.1f} %"
    axes.text(0.99, 0.03, said, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5, color="0.35")


def legend_of(
    marks: dict[str, tuple[str, str]], points: list[Point], accuracy: str, models: dict[str, str] | None = None
) -> list[Line2D]:
    """What a legend shows: each model and kind of points, and the front with the split that it was found on."""
    kinds, ink = {point.kind for point in points}, "0.25" if models else None
    styles = {name: _style(("", "circle"), colour) for name, colour in (models or {}).items()}
    styles |= {name: _style(mark, ink) for name, mark in marks.items() if name in kinds}
    shown = [Line2D([], [], linestyle="", label=name, **style) for name, style in styles.items()]
    by = _decided_by(points, accuracy)
    told = f"Pareto front,\nby {split_of([by])} split"
    if left_out := sum(point.mean(by) is None for point in points):
        told += f"\n({left_out} not measured on it)"
    return [*shown, Line2D([], [], color="0.35", linewidth=1.2, label=told, **_RING)]
