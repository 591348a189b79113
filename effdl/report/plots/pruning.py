"""Part of the weights pruned against accuracy, a line per method."""

import json
import math
from collections import defaultdict
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from effdl.report.naming import distinctions, flat_settings
from effdl.report.plots.axis import axis
from effdl.report.plots.figure import height, new_figure, png
from effdl.report.plots.marks import COLOURS, SHAPES
from effdl.report.plots.points import Point, points
from effdl.report.plots.scatter import MARKERS

_TICKS = (90, 99, 50, 99.9, 0, 80, 95, 98, 99.5, 99.8, 70, 60, 30, 20, 85, 93, 97, 96, 94, 92)  # the dearest first
_NAMED = 20  # the most lines that the legend names one by one
_FAINT = {"alpha": 0.5, "linewidth": 0.8, "markersize": 4}


def pruning(rows: list[dict], accuracy: str) -> bytes | None:
    """PNG of all pruned stages, their accuracy in percent, the unpruned nets as dashed lines; None if there are none.

    The x axis is logarithmic in what is left: 90, 99 and 99.9 % are equally far from one another.
    """
    known = [row for row in with_rate(rows) if row.get(accuracy) is not None]
    found = [point for point in points(known) if point.kind.startswith("prune") and point.mean("rate")]
    if not found:
        return None
    lines = _lines_of(found)
    few = len(lines) <= _NAMED
    if not few:
        lines = [(group[0].rows[0]["method"], group) for _, group in lines]
    names = list(dict.fromkeys(name for name, _ in lines))
    figure = new_figure(8, height(sum(name.count("\n") + 1 for name in names)))
    axes = figure.subplots()
    for i, (name, group) in enumerate(lines):
        number = i if few else names.index(name)
        mark = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[SHAPES[number % len(SHAPES)]]}
        label = name if name not in [shown for shown, _ in lines[:i]] or few else None
        _draw(axes, group, accuracy, {**mark, "label": label, **({} if few else _FAINT)})
        dense = _before_pruning(known, group).mean(accuracy)
        if few and dense is not None:
            axes.axhline(axis(accuracy).scale * dense, color=mark["color"], linestyle="--", linewidth=1, alpha=0.8)
    _scale_x(axes, [100 * point.mean("rate") for point in found])
    axes.set_ylabel(axis(accuracy).label)
    axes.grid(alpha=0.25)
    notes = ["dashed: before pruning"] if few else ["a line for all settings but the rate"]
    notes += ["error bars: standard deviation\nover seeds"] if any(point.spread(accuracy) for point in found) else []
    title = "\n".join(notes)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, title=title, title_fontsize=7.5)
    return png(figure)


def _draw(axes: Axes, group: list[Point], accuracy: str, style: dict) -> None:
    """One line."""
    group, scale = sorted(group, key=lambda point: point.mean("rate")), axis(accuracy).scale
    axes.errorbar(
        [100 * point.mean("rate") for point in group],
        [scale * point.mean(accuracy) for point in group],
        yerr=[scale * point.spread(accuracy) or math.nan for point in group],
        markeredgecolor="white",
        markeredgewidth=0.5,
        capsize=3,
        capthick=1,
        **{"markersize": 7, **style},
    )


def _before_pruning(rows: list[dict], group: list[Point]) -> Point:
    """The first trainings of the runs on a line."""
    runs = {row["run"] for point in group for row in point.rows}
    return Point("dense", {}, [row for row in rows if row["dense"] and row["run"] in runs])


def _scale_x(axes: Axes, rates: list[float]) -> None:
    """The x axis of rates in percent."""
    axes.set_xscale(
        "function",
        functions=(lambda rate: -np.log10(np.maximum(1 - rate / 100, 1e-6)), lambda left: 100 * (1 - 10.0**-left)),
    )
    low, high = (-math.log10(max(1 - rate / 100, 1e-6)) for rate in (min(rates), max(rates)))
    room = 0.06 * (high - low) + 0.03
    ends = [100 * (1 - 10.0**-(end)) for end in (max(low - room, 0), high + room)]
    axes.set_xlim(*ends)
    ticks: dict[float, float] = {}
    for tick in _TICKS:
        at = -math.log10(1 - tick / 100)
        far = all(abs(at - other) > 0.06 * (high - low + 2 * room) for other in ticks.values())
        if ends[0] <= tick <= ends[1] and far:
            ticks[tick] = at
    if len(ticks) < 3:  # the rates are close together
        ticks = dict.fromkeys(
            tick for tick in MaxNLocator(4, min_n_ticks=3).tick_values(*ends) if ends[0] <= tick <= ends[1]
        )
    axes.set_xticks(list(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("weights pruned (%)")


def with_rate(rows: list[dict]) -> list[dict]:
    """The rows with ``rate``: the part of the weights that a stage zeroed or removed, None if it is not known.

    For a stage that only zeroes, its ``weight_sparsity``; what it removed are the parameters that the stage before had
    and it has not.
    """
    before: dict[object, int | None] = {}
    found = []
    for row in rows:
        had, has, zeros = before.get(row["run"], row.get("params")), row.get("params"), row.get("weight_sparsity")
        before[row["run"]] = has
        found.append({**row, "rate": None if None in (had, has, zeros) else 1 - (1 - zeros) * has / had})
    return found


def _lines_of(found: list[Point]) -> list[tuple[str, list[Point]]]:
    """The lines: a name, which is the method and the settings besides the level, and its points."""
    settings = [flat_settings({**point.config, "prune": None}) for point in found]
    lines = defaultdict(list)
    for point, config, told in zip(found, settings, distinctions(settings), strict=True):
        name = ", ".join([point.rows[0]["method"], *filter(None, [told])])
        name = "\n".join(wrap(name, 34, subsequent_indent="  "))
        lines[name, json.dumps(config, sort_keys=True)].append(point)
    return sorted(((name, group) for (name, *_), group in lines.items()), key=lambda line: line[0])
