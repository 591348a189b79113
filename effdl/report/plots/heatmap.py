"""Accuracy per layer and level as a picture."""

from effdl.measure.metrics import metric
from effdl.report.plots.figure import new_figure, png

_ACCURACY = "top1"
_LABELS = {"prune": "part of the layer's weights pruned", "quantize": "bits of the layer's weights"}


def heatmap(rows: list[dict], baseline: float, title: str) -> bytes:
    """PNG with one panel per kind of change: a line of cells per layer, a column per level, each with its accuracy.

    Args:
        rows: as `sensitivity.analyse` yields them.
        baseline: top-1 of the unchanged model, which the colours are relative to.
    """
    name = metric(_ACCURACY).label
    changes = list(dict.fromkeys(row["change"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    figure = new_figure(2.2 + 4.2 * len(changes), 1.6 + 0.26 * len(layers), dpi=120)
    panels = figure.subplots(1, len(changes), squeeze=False, sharey=True)[0]
    for axes, change in zip(panels, changes, strict=True):
        levels = list(dict.fromkeys(row["level"] for row in rows if row["change"] == change))
        found = {(row["layer"], row["level"]): row[_ACCURACY] for row in rows if row["change"] == change}
        values = [[100 * (found[layer, level] - baseline) for level in levels] for layer in layers]
        image = axes.imshow(values, cmap="RdYlBu", vmin=-20, vmax=0, aspect="auto")
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                axes.text(x, y, f"{100 * baseline + value:.1f}", ha="center", va="center", fontsize=6)
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        axes.set_yticks(range(len(layers)), [layer or "(the model)" for layer in layers], fontsize=7)
        axes.set_xlabel(_LABELS[change])
    figure.colorbar(image, ax=list(panels), label=f"points of {name} lost", shrink=0.8, extend="min")
    figure.suptitle(f"{title}: {name} (%) with one layer changed, {100 * baseline:.2f} unchanged", fontsize=10)
    return png(figure)
