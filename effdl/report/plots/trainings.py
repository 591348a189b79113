"""The training curves of many runs in one picture."""

from collections.abc import Callable
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effdl.measure.metrics import metric
from effdl.report.gather import APART
from effdl.report.plots.axis import axis_of
from effdl.report.plots.figure import height, new_figure, png
from effdl.report.plots.marks import COLOURS, kind, marks
from effdl.report.plots.points import points
from effdl.runs.folder import RunFolder

_LINES = ("-", "--", ":", "-.")
_TRAINED, _VALIDATED = "top1", "val_top1"
_UNMEASURED = "no stage finished"
_NAMED = 12  # the most lines that the legend names one by one; more are coloured by their last stage


def trainings(rows: list[dict]) -> bytes | None:
    """PNG of the accuracy over all epochs of every config, a dot where a stage begins; None if no run has trained.

    With several seeds the line is their mean, as far as all of them trained, in a band of their standard deviation.
    The accuracy is that on the validation split, or on the training split if no run has another; a run without it is
    left out, and the picture says so.
    """
    last = {row["run"]: row for row in rows}
    logs = {run: _epochs_of(Path(row["folder"])) for run, row in last.items()}
    validated = any(_VALIDATED in epoch for log in logs.values() for epoch in log)
    key = _VALIDATED if validated else _TRAINED
    vertical = axis_of(metric(_VALIDATED) if validated else metric(_TRAINED).on("training"))
    logs = {run: log for run, log in logs.items() if log and all(epoch.get(key) is not None for epoch in log)}
    if not logs:
        return None
    figure = new_figure(8, height(_NAMED))
    axes = figure.subplots()
    groups = [point.rows for point in points([last[run] for run in logs])]
    few = len(groups) <= _NAMED
    styles = marks([row for row in rows if row["stage"]]) | {_UNMEASURED: ("0.6", "")}
    for i, group in enumerate(groups):
        shown = kind(group[0]) if group[0]["stage"] else _UNMEASURED
        line = _LINES[(i if few else list(styles).index(shown)) // len(COLOURS) % len(_LINES)]
        _draw(
            axes,
            [logs[row["run"]] for row in group],
            lambda epoch: vertical.scale * epoch[key],
            few,
            linestyle=":" if shown == _UNMEASURED else line,
            color=COLOURS[i % len(COLOURS)] if few else styles[shown][0],
            label=_name(group) if few else shown,
        )
    axes.set_xlabel("epoch, all stages counted (dots: a stage begins)")
    axes.set_ylabel(vertical.label)
    axes.set_xlim(left=0.5)
    axes.locator_params("x", integer=True)
    axes.grid(alpha=0.25)
    _legend(figure, axes, max(map(len, groups)), len(last) - len(logs))
    return png(figure)


def _draw(axes: Axes, logs: list[list[dict]], value: Callable[[dict], float], few: bool, **style) -> None:
    """The line of one config, whose runs have these epochs."""
    x = range(1, min(map(len, logs)) + 1)
    values = np.array([[value(log[i - 1]) for i in x] for log in logs])
    y = values.mean(axis=0)
    stages = [epoch["stage"] for epoch in logs[0]]
    begins = [i for i in x if i > 1 and stages[i - 1] != stages[i - 2]]
    if len(x) == 1:
        begins = [1]  # a line of one point is not seen
    colour = style["color"]
    if len(logs) > 1:
        spread = values.std(axis=0, ddof=1)
        axes.fill_between(x, y - spread, y + spread, color=colour, alpha=0.15 if few else 0.08, linewidth=0)
    axes.plot(x, y, linewidth=1.4 if few else 0.8, alpha=1 if few else 0.5, **style)
    axes.plot(begins, [y[i - 1] for i in begins], "o", color=colour, markersize=4 if few else 2.5)


def _name(group: list[dict]) -> str:
    """The name of the run, or of the runs that differ in their seed only."""
    words = group[0]["name"].split(" ")
    name = " ".join(word for word in words if len(group) == 1 or not word.startswith("seed="))
    return "\n".join(wrap(name or group[0]["name"], 34, subsequent_indent="  "))


def _legend(figure: Figure, axes: Axes, seeds: int, missing: int) -> None:
    """One entry per name, what the bands are, and how many runs are not shown."""
    handles, names = axes.get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    notes = ["mean and standard\ndeviation over the seeds"] if seeds > 1 else []
    notes += [f"{missing} without this accuracy\nnot shown"] if missing else []
    note = "\n".join(notes) or None
    figure.legend(
        shown.values(), shown, loc="outside right upper", fontsize=8, frameon=False, title=note, title_fontsize=7.5
    )


def _epochs_of(folder: Path) -> list[dict]:
    """The epochs in which a run's own model was trained by labels; none if the file is missing."""
    return [row for row in RunFolder(folder).epochs.read() if row["stage"] not in APART]
