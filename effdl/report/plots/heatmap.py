"""Accuracy per layer and level as a picture."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LABELS = {"prune": "part of the layer's weights pruned", "quantize": "bits of the layer's weights"}


def heatmap(rows: list[dict], baseline: float, title: str) -> bytes:
    """PNG with one panel per kind of change: a line of cells per layer, a column per level, each with its accuracy.

    Args:
        rows: as `sensitivity.analyse` yields them.
        baseline: top-1 of the unchanged model, which the colours are relative to.
    """
    changes = list(dict.fromkeys(row["change"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    figure = Figure(figsize=(2.2 + 4.2 * len(changes), 1.6 + 0.26 * len(layers)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(changes), squeeze=False, sharey=True)[0]
    for axes, change in zip(panels, changes, strict=True):
        levels = list(dict.fromkeys(row["level"] for row in rows if row["change"] == change))
        found = {(row["layer"], row["level"]): row["top1"] for row in rows if row["change"] == change}
        values = [[100 * (found[layer, level] - baseline) for level in levels] for layer in layers]
        image = axes.imshow(values, cmap="RdYlBu", vmin=-20, vmax=0, aspect="auto")
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                axes.text(x, y, f"{100 * baseline + value:.1f}", ha="center", va="center", fontsize=6)
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        axes.set_yticks(range(len(layers)), [layer or "(the model)" for layer in layers], fontsize=7)
        axes.set_xlabel(LABELS[change])
    figure.colorbar(image, ax=list(panels), label="points of top-1 lost", shrink=0.8, extend="min")
    figure.suptitle(f"{title}: top-1 (%) with one layer changed, {100 * baseline:.2f} unchanged", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
