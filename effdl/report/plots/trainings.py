"""The training curves of many runs in one picture."""

from pathlib import Path
from textwrap import wrap

from effdl.measure.metrics import metric
from effdl.report.plots.axis import axis_of
from effdl.report.plots.figure import height, new_figure, png
from effdl.report.plots.marks import COLOURS, kind, marks
from effdl.runs.folder import RunFolder

_LINES = ("-", "--", ":", "-.")
_TRAINED, _VALIDATED = "top1", "val_top1"
_UNMEASURED = "no stage finished"
_NAMED = 12  # the most runs that the legend names one by one; more are coloured by their last stage


def trainings(rows: list[dict]) -> bytes | None:
    """PNG of the accuracy over all epochs of every run, a dot where a stage begins; None if no run has trained.

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
    few = len(logs) <= _NAMED
    kinds = {run: kind(last[run]) if last[run]["stage"] else _UNMEASURED for run in logs}
    styles = marks([row for row in rows if row["stage"]]) | {_UNMEASURED: ("0.6", "")}
    for i, (run, log) in enumerate(logs.items()):
        name = "\n".join(wrap(last[run]["name"], 34, subsequent_indent="  ")) if few else kinds[run]
        line = _LINES[(i if few else list(styles).index(name)) // len(COLOURS) % len(_LINES)]
        line = ":" if name == _UNMEASURED else line
        colour = COLOURS[i % len(COLOURS)] if few else styles[name][0]
        x, y = range(1, len(log) + 1), [vertical.scale * epoch[key] for epoch in log]
        begins = [j for j in range(len(log)) if j and log[j]["stage"] != log[j - 1]["stage"]]
        if len(log) == 1:
            begins = [0]  # a line of one point is not seen
        axes.plot(x, y, line, color=colour, linewidth=1.4 if few else 0.8, alpha=1 if few else 0.5, label=name)
        axes.plot([x[j] for j in begins], [y[j] for j in begins], "o", color=colour, markersize=4 if few else 2.5)
    axes.set_xlabel("epoch, all stages counted (dots: a stage begins)")
    axes.set_ylabel(vertical.label)
    axes.set_xlim(left=0.5)
    axes.locator_params("x", integer=True)
    axes.grid(alpha=0.25)
    _legend(figure, axes, len(last) - len(logs))
    return png(figure)


def _legend(figure, axes, missing: int) -> None:
    """One entry per name, and how many runs are not shown."""
    handles, names = axes.get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    note = f"{missing} without this accuracy\nnot shown" if missing else None
    figure.legend(
        shown.values(), shown, loc="outside right upper", fontsize=8, frameon=False, title=note, title_fontsize=7.5
    )


def _epochs_of(folder: Path) -> list[dict]:
    """The epochs in which a run's own model was trained; none if the file is missing."""
    return [row for row in RunFolder(folder).epochs.read() if row["stage"] != "teacher"]
