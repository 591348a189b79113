"""How well the features of each part of a network tell the classes, as a picture."""

from effdl.measure.metrics import metric
from effdl.report.plots.figure import new_figure, png
from effdl.utils.wrap import wrapped

_LINES = (
    ("linear_top1", "C0", "-"),
    ("val_linear_top1", "C0", "--"),
    ("knn_top1", "C1", "-"),
    ("val_knn_top1", "C1", "--"),
)


def probe_curves(rows: list[dict], title: str) -> bytes:
    """PNG of the accuracies of `effdl.runs.probe.probe` by part: where do the features stop being general?"""
    width = max(6.0, 2.5 + 0.42 * len(rows))  # inches
    figure = new_figure(width, 4.2)
    axes = figure.subplots()
    for key, color, style in _LINES:
        accuracies = [100 * row[key] for row in rows]
        axes.plot(range(len(rows)), accuracies, style, color=color, marker=".", label=metric(key).name)
    axes.set_xticks(
        range(len(rows)), [row["part"] for row in rows], rotation=60, ha="right", fontsize=8, parse_math=False
    )
    axes.set_xlabel("part of the network, in the order of use")
    axes.set_ylabel(f"{metric('top1').name}, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.suptitle("\n".join(wrapped(title, int(12 * width))), fontsize=10, parse_math=False)
    return png(figure)
