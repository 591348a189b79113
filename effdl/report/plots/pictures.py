"""Pictures of many runs: accuracy against every cost, pruning rate against accuracy, training curves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdl.measure.course import COURSE_LINE
from effdl.report.plots.axis import axis
from effdl.report.plots.errors import error_curves
from effdl.report.plots.figure import height, new_figure, png
from effdl.report.plots.marks import colours, marks
from effdl.report.plots.names import name_points
from effdl.report.plots.points import Point, averaged, labels, points, with_costs_so_far
from effdl.report.plots.pruning import pruning
from effdl.report.plots.published import Published, legend_entry, overlay, published
from effdl.report.plots.scatter import legend_of, points_with, scatter, spread_x
from effdl.report.plots.trainings import trainings
from effdl.utils.files import write_atomic

_ACCURACY = "top1"
_AGAINST = {
    "params": "params_nonzero",
    "size": "size_bytes",
    "macs": "macs",
    "latency": "latency_ms",
    "energy": "energy_so_far_kwh",
    "compute": "training_flops_so_far",
}


def pictures(rows: list[dict], folder: Path, compare_published: bool = False) -> list[Path]:
    """Draw all pictures that the rows have numbers for; returns the files written.

    ``accuracy_params.png``, ``..._size``, ``..._macs``, ``..._latency``, ``..._energy``, ``..._compute`` and one per
    score; ``overview`` of them all; ``pruning``, ``training``, ``error_capacity`` and ``error_labels``. With several
    data sets each has its own, ``accuracy_size-mnist.png``: accuracies on different test images have no common front.

    Args:
        rows: as `effdl.report.gather.rows` makes them.
        compare_published: lay published models of the data set over accuracy against parameters and MACs.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, part in _by_dataset(with_costs_so_far(rows)).items():
        for stem, data in _drawn(part, compare_published).items():
            written.append(folder / f"{stem}{f'-{name}' if name else ''}.png")
            write_atomic(written[-1], data)
    return written


def _by_dataset(rows: list[dict]) -> dict[str, list[dict]]:
    """The rows by the name of their data set, which is empty if all have the same."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row["config"].get("dataset.option", "")), []).append(row)
    return groups if len(groups) > 1 else {"": rows}


def _drawn(rows: list[dict], compare_published: bool) -> dict[str, bytes]:
    """PNGs of rows of one data set, by name."""
    known = [row for row in rows if row.get(_ACCURACY) is not None]
    found, styles = points(known), marks(known)
    models = colours(point.model for point in found)
    scores = sorted({key for row in known for key in row if key.endswith("_score")})
    costs = _AGAINST | {key.removesuffix("_score"): key for key in scores}
    costs = {name: key for name, key in costs.items() if points_with(found, key)}
    dataset = rows[0].get("dataset") if compare_published else None
    made: dict[str, bytes | None] = {
        f"accuracy_{name}": _against(found, styles, models, key, published(dataset, key)) for name, key in costs.items()
    }
    if len(costs) > 1:
        made["overview"] = _overview(found, styles, models, list(costs.values()))
    made |= {"pruning": pruning(rows, _ACCURACY), "training": trainings(rows), **error_curves(rows)}
    return {name: data for name, data in made.items() if data}


def _against(found: list[Point], styles: dict, models: dict, key: str, others: list[Published]) -> bytes:
    """PNG of one panel, with the names of the points on the front."""
    shown = points_with(found, key)
    figure = new_figure(8, height(len({point.kind for point in shown}) + len(models)))
    axes = figure.subplots()
    best = scatter(axes, shown, styles, key, _ACCURACY, models)
    if others:
        costs = [point.mean(key) for point in shown]
        overlay(axes, others, axis(key, costs).scale, axis(_ACCURACY).scale)
        spread_x(axes, [cost * axis(key, costs).scale for cost in [*costs, *(model.cost for model in others)]])
    if key == "course_score" and any(row.get("course_reached") is not None for point in shown for row in point.rows):
        _target_line(axes)
    _legend(figure, shown, styles, models, others)
    figure.draw_without_rendering()  # makes the layout, which then stays: the names have to know where they are
    figure.set_layout_engine("none")
    if lost := _name_front(axes, best, shown, key):
        axes.set_title(f"no room for {lost} names of the front", fontsize=7.5, loc="right")
    return png(figure)


def _name_front(axes: Axes, best: list[Point], shown: list[Point], key: str) -> int:
    """Name the points on the front, rather beside it and the error bars; returns how many names found no room."""
    scales = np.array([axis(key, [point.mean(key) for point in shown]).scale, axis(_ACCURACY).scale])

    def at(point: Point) -> np.ndarray:
        return scales * (point.mean(key), point.mean(_ACCURACY))

    front = np.array(list(map(at, best)))
    spread = [(at(point), np.diag(scales * (point.spread(key), point.spread(_ACCURACY)))) for point in shown]
    bars = [np.array([middle - half, middle + half]) for middle, halves in spread for half in halves if half.any()]
    names = dict(zip(map(id, shown), labels(shown), strict=True))
    told = [names[id(point)] for point in best]
    return len(name_points(axes, front, told, np.array(list(map(at, shown))), [front, *bars]))


def _target_line(axes: Axes) -> None:
    """The accuracy that the course asks for, where it is among those shown."""
    low, high = axes.get_ylim()
    asked = axis(_ACCURACY).scale * COURSE_LINE
    if low < asked < high:
        axes.axhline(asked, color="0.5", linestyle="--", linewidth=1, zorder=1)
        axes.text(
            0.99,
            asked,
            "asked for by the course",
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            fontsize=7.5,
            color="0.35",
        )


def _overview(found: list[Point], styles: dict, models: dict, keys: list[str]) -> bytes:
    """PNG of all panels side by side, without names."""
    columns = min(3, len(keys))
    lines = -(-len(keys) // columns)
    figure = new_figure(4 * columns + 1.6, 3.4 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for i, axes in enumerate(panels.flat):
        if i < len(keys):
            scatter(axes, found, styles, keys[i], _ACCURACY, models)
            axes.set_ylabel(axes.get_ylabel() if i % columns == 0 else "")
        else:
            axes.remove()
    _legend(figure, found, styles, models)
    return png(figure)


def _legend(figure: Figure, found: list[Point], styles: dict, models: dict, others: Sequence[Published] = ()) -> None:
    """The kinds of points, outside the panels, and what the error bars are if there are any."""
    figure.legend(
        handles=[*legend_of(styles, found, _ACCURACY, models), *([legend_entry(others)] if others else [])],
        loc="outside right upper",
        fontsize=8,
        frameon=False,
        title=averaged(found, _ACCURACY),
        title_fontsize=7.5,
    )
