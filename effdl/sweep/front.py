"""What an optimization found: the best trials as a table, and its objectives against each other as a picture."""

import json
from pathlib import Path

from rich.console import Console

from effdl.measure.metrics import compared
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

    With more than two objectives a point on the front may lie behind others in each panel.
    """
    from effdl.report.plots.figure import new_figure, png  # matplotlib takes long to import

    first, *others = found["objectives"]
    done = [row for row in found["trials"] if row["values"]]
    best = sorted((row for row in done if row["trial"] in found["best"]), key=lambda row: row["values"][first])
    figure = new_figure(5.6 * len(others), 4.2, dpi=120)
    for axes, other in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        across, up = (axis(name, [row["values"][name] for row in done]) for name in (other, first))

        def at(rows: list[dict], other=other, across=across, up=up) -> tuple[list[float], list[float]]:
            values = [row["values"] for row in rows]
            return [v[other] * across.scale for v in values], [v[first] * up.scale for v in values]

        axes.plot(*at(done), "o", color="0.65", label="trial")
        axes.plot(*at(best), "o", color="C0", label="Pareto front")
        if len(others) == 1:  # what lies behind the stairs is surpassed
            stairs = "steps-post" if found["objectives"][other] == "minimize" else "steps-pre"
            axes.plot(
                *at(sorted(best, key=lambda row, other=other: row["values"][other])),
                drawstyle=stairs,
                color="C0",
                linewidth=1,
            )
        for row, x, y in zip(best, *at(best), strict=True):
            axes.annotate(str(row["trial"]), (x, y), (5, 4), textcoords="offset points", fontsize=8)
        axes.margins(0.08)
        axes.set_xlabel(across.label)
        axes.set_ylabel(up.label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="best")
    figure.suptitle(title, fontsize=10, parse_math=False)
    return png(figure)
