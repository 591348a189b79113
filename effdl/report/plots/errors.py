"""Error on training and validation images against what a model can hold, and against the labels that it has seen."""

import json
import math
from collections import defaultdict
from textwrap import wrap

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from effdl.report.naming import distinctions, flat_settings
from effdl.report.plots.axis import axis
from effdl.report.plots.figure import height, new_figure, png
from effdl.report.plots.marks import COLOURS
from effdl.report.plots.points import Point, averaged, points
from effdl.report.plots.scatter import spread_x

_LABELS = "train_labels"
_LABEL_KEYS = ("dataset.subset", "dataset.labelled")
_LENGTH_KEYS = ("epochs", "batch_size", "optimizer.lr")  # few labels want another training than many
_TRAINED, _VALIDATED = "train_error1", "val_error1"
_STYLES = {_TRAINED: {"linestyle": "--", "markerfacecolor": "white"}, _VALIDATED: {"linestyle": "-"}}
_CAPTION = (
    "The first training of each run. Training error: on as many training images as validate, without augmentation. Both"
    " errors are of the stored model."
)
_Line = tuple[str, list[Point]]


def error_curves(rows: list[dict]) -> dict[str, bytes]:
    """PNGs ``error_capacity`` and ``error_labels``, each if runs that are otherwise alike differ in it.

    Capacity is the one swept number of the model (its width or depth), else the number of parameters. A line of labels
    may have another length of training at each number of them, if there is one training for each. Runs of earlier
    versions, which measured nothing on training images, are left out.

    Args:
        rows: as `effdl.report.gather.rows` makes them, of one data set.
    """
    measured = [row for row in rows if row["dense"] and None not in (row.get(_VALIDATED), row.get("train_top1"))]
    found = points([{**row, _TRAINED: 1 - row["train_top1"]} for row in measured])
    swept = sorted({key for point in found for key in point.config if _is_capacity(key)})
    numeric = all(isinstance(point.config.get(key), int | float) for point in found for key in swept)
    capacity = swept[0] if len(swept) == 1 and numeric else "params"
    drawn = {
        "error_capacity": _drawn(_lines(found, capacity, swept), capacity),
        "error_labels": _drawn(_lines(found, _LABELS, _LABEL_KEYS, _LENGTH_KEYS), _LABELS),
    }
    return {name: picture for name, picture in drawn.items() if picture}


def _is_capacity(key: str) -> bool:
    """Whether a key of a config says how large a model of its family is."""
    return key.startswith("model.") and key not in ("model.option", "model.weights")


def _x(point: Point, key: str) -> float | None:
    """Where a point is: by a measure of its runs, or by a number of its config."""
    return point.config[key] if key in point.config else point.mean(key)


def _lines(
    found: list[Point], key: str, without: tuple[str, ...] | list[str], suited: tuple[str, ...] = ()
) -> list[_Line]:
    """The points in order, by all settings but these; lines of points that lie at one place are left out.

    Args:
        suited: settings that do not part a line either, while no two of its points lie at one place.
    """
    groups, found = {}, [point for point in found if _x(point, key) is not None]
    for rest, group in _by_settings(found, (*without, *suited)).items():
        apart = len({_x(point, key) for point in group}) == len(group)
        groups |= {rest: group} if apart else _by_settings(group, without)
    several = {rest: group for rest, group in groups.items() if len({_x(point, key) for point in group}) > 1}
    names = distinctions([flat_settings(json.loads(rest)) for rest in several])
    return [
        (name, sorted(group, key=lambda point: _x(point, key)))
        for name, group in zip(names, several.values(), strict=True)
    ]


def _by_settings(found: list[Point], without: tuple[str, ...] | list[str]) -> dict[str, list[Point]]:
    """The points by all settings but these, as JSON."""
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in found:
        rest = {name: value for name, value in point.config.items() if name not in without}
        groups[json.dumps(rest, sort_keys=True)].append(point)
    return groups


def _drawn(lines: list[_Line], key: str) -> bytes | None:
    """PNG of the lines against a measure or a key of the config; None if there are none."""
    if not lines:
        return None
    shown, rest = lines[: len(COLOURS)], len(lines[len(COLOURS) :])
    figure = new_figure(8, height(2 * len(shown) + 4))
    axes = figure.subplots()
    places = [_x(point, key) for _, group in shown for point in group]
    across = axis(key, places)
    for colour, (_, group) in zip(COLOURS, shown, strict=False):
        for error, style in _STYLES.items():
            axes.errorbar(
                [_x(point, key) * across.scale for point in group],
                [100 * point.mean(error) for point in group],
                yerr=[100 * point.spread(error) or math.nan for point in group],
                color=colour,
                marker="o",
                capsize=3,
                **style,
            )
    spread_x(axes, [place * across.scale for place in places])
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlabel(across.label)
    axes.set_ylabel(axis(_VALIDATED).label.replace("validation ", ""))
    axes.grid(alpha=0.25)
    figure.supxlabel("\n".join(wrap(_CAPTION, 110)), fontsize=7.5, color="0.35")
    _legend(figure, shown, rest)
    return png(figure)


def _legend(figure: Figure, shown: list[_Line], rest: int) -> None:
    """What is dashed, which colour is which setting, what error bars are, and how many lines are not shown."""
    texts = {_TRAINED: "training", _VALIDATED: "validation"}
    entries = [Line2D([], [], color="0.3", marker="o", label=texts[error], **style) for error, style in _STYLES.items()]
    named = [(name, colour) for (name, _), colour in zip(shown, COLOURS, strict=False) if len(shown) > 1]
    entries += [Line2D([], [], color=colour, label="\n".join(wrap(name or "without", 30))) for name, colour in named]
    notes = [f"{rest} more settings\nare not shown"] if rest else []
    if repeated := averaged([point for _, group in shown for point in group], _VALIDATED):
        notes.append(repeated)
    title = "\n".join(notes) or None
    figure.legend(
        handles=entries, loc="outside right upper", fontsize=8, frameon=False, title=title, title_fontsize=7.5
    )
