"""What an optimization found: the best trials as a table, and its objectives against each other as a picture."""

import json
from pathlib import Path

from rich.console import Console

from effdl.measure.metrics import compared, metric
from effdl.measure.units import PERCENT
from effdl.report.plots.axis import axis
from effdl.utils.table import Column, Table

FOUND, PICTURE = "optimization.json", "pareto.png"  # in a sweep's folder


def show_front(folder: Path, console: Console) -> None:
    """Print the best trials of a sweep's folder, if they were sought there."""
    if not (folder / FOUND).exists():
        return
    console.print(front_table(json.loads((folder / FOUND).read_bytes())))
    if (folder / PICTURE).exists():
        console.print(f"picture: {folder / PICTURE}", soft_wrap=True, highlight=False)


def front_table(found: dict) -> Table:
    """The best trials of ``optimization.json``, and how many there were of each kind."""
    trials = {row["trial"]: row for row in found["trials"]}
    states = [row["state"] for row in trials.values()]
    counts = ", ".join(f"{states.count(state)} {state.lower()}" for state in dict.fromkeys(sorted(states)))
    several = len(found["objectives"]) > 1
    chosen = found.get("choices")  # sweeps of earlier versions do not say
    counts += f"; {compared(chosen['compared'], chosen['split'])}" if chosen else ""
    scales = [axis(name, [trials[n]["values"][name] for n in found["best"]]) for name in found["objectives"]]
    columns = [Column(heading, right=True) for heading in ("trial", *(scale.label for scale in scales))]
    rows = []
    for number in found["best"]:
        row = trials[number]
        values = [f"{row['values'][name] * scale.scale:.4g}" for name, scale in zip(row["values"], scales, strict=True)]
        rows.append([str(number), *values, " ".join(row["overrides"])])
    title = f"{'Pareto front' if several else 'best trial'} of {len(trials)} trials ({counts})"
    return Table([*columns, Column("overrides", wraps=True)], rows, title, constants=False)


def front_picture(found: dict, title: str) -> bytes:
    """PNG of the first objective of ``optimization.json`` against each of the others, the Pareto front marked.

    With more than two objectives a point on the front may lie behind others in each panel. ``bounds``, if there are
    any, are dashed lines: values by the key of an objective.
    """
    from effdl.report.plots.figure import new_figure, png  # matplotlib takes long to import
    from effdl.report.plots.names import name_points

    first, *others = found["objectives"]
    done = [row for row in found["trials"] if row["values"]]
    best = sorted((row for row in done if row["trial"] in found["best"]), key=lambda row: row["values"][first])
    figure = new_figure(5.6 * len(others), 4.2, dpi=120)
    panels = figure.subplots(1, len(others), squeeze=False)[0]
    places = [_panel(axes, found, done, best, other) for axes, other in zip(panels, others, strict=True)]
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.draw_without_rendering()  # makes the layout, which then stays: the names have to know where they are
    figure.set_layout_engine("none")
    for axes, (taken, front) in zip(panels, places, strict=True):
        name_points(axes, front, [str(row["trial"]) for row in best], taken, [front])
    return png(figure)


def _panel(axes, found: dict, done: list[dict], best: list[dict], other: str) -> tuple:
    """Draw the trials and those on the front in two objectives; returns where they are, (N, 2) each."""
    import numpy as np

    from effdl.report.plots.scatter import cut_y, spread_x

    first = next(iter(found["objectives"]))
    scales = [axis(name, [row["values"][name] for row in done]) for name in (other, first)]

    def at(rows: list[dict]) -> np.ndarray:
        values = [row["values"] for row in rows]
        return np.array([[v[other] * scales[0].scale, v[first] * scales[1].scale] for v in values])

    axes.plot(*at(done).T, "o", color="0.65", label="trial")
    axes.plot(*at(best).T, "o", color="C0", label="Pareto front")
    if len(found["objectives"]) == 2:  # what lies behind the stairs is surpassed
        stairs = "steps-post" if found["objectives"][other] == "minimize" else "steps-pre"
        along = sorted(best, key=lambda row: row["values"][other])
        axes.plot(*at(along).T, drawstyle=stairs, color="C0", linewidth=1)
    lines = {other: (axes.axvline, scales[0].scale), first: (axes.axhline, scales[1].scale)}
    for key, value in found.get("bounds", {}).items():
        if key in lines:
            line, scale = lines[key]
            line(value * scale, color="C3", linestyle="--", linewidth=1)
    spread_x(axes, at(done)[:, 0].tolist())
    if metric(first).unit is PERCENT:
        cut_y(axes, at(done).tolist(), at(done)[:, 1].tolist(), keep=at(best)[:, 1].min())
    axes.set_xlabel(scales[0].label)
    axes.set_ylabel(scales[1].label)
    axes.grid(alpha=0.3)
    return at(done), at(best)
