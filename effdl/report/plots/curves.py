"""Training curves as a picture."""

from itertools import groupby

from matplotlib.ticker import NullLocator

from effdl.measure.metrics import metric
from effdl.report.plots.figure import new_figure, png
from effdl.report.plots.ticks import plain_ticks


def curves(rows: list[dict], title: str) -> bytes:
    """PNG of loss and top-1 accuracy over the epochs of all trainings, in the order of ``epochs.jsonl``.

    A pretraining has the accuracy of its neighbours.
    """
    figure = new_figure(9, 3.6, dpi=120, layout=None)
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.13, top=0.86, wspace=0.22)
    for axes, key in zip(figure.subplots(1, 2), ("loss", "top1"), strict=True):
        start = 0
        for stage, group in groupby(rows, key=lambda row: (row["stage"], row["fit"])):
            group = list(group)
            x = [start + 1 + i for i in range(len(group))]
            marker = "." if len(group) < 40 else None
            if group[0][key] is not None:
                axes.plot(x, [row[key] for row in group], color="C0", marker=marker, label="train")
            for validated, colour, label in ((f"val_{key}", "C1", "validation"), (f"val_knn_{key}", "C2", "neighbors")):
                if validated in group[0]:
                    val = [row[validated] for row in group]
                    axes.plot(x, val, color=colour, marker=marker, label=label)
            if start:
                axes.axvline(start + 0.5, color="0.7", linewidth=1)
            axes.text(start + 0.7, 1.0, stage[0], transform=axes.get_xaxis_transform(), va="bottom", fontsize=8)
            start += len(group)
        axes.set_xlim(0.5, start + 0.5)  # the stages' names are inside, whatever the number of epochs
        axes.locator_params("x", integer=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric(key).name)
        axes.grid(alpha=0.3)
    losses = [row[key] for row in rows for key in ("loss", "val_loss") if key in row]
    if any(loss > 0 for loss in losses) and not any(loss < 0 for loss in losses):
        figure.axes[0].set_yscale("log")
        plain_ticks(figure.axes[0].yaxis)
        figure.axes[0].yaxis.set_minor_locator(NullLocator())
    handles, labels = figure.axes[1].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure.axes[1].legend(shown.values(), shown, loc="lower right")
    figure.suptitle(title, fontsize=10, parse_math=False)  # a path may hold dollar signs
    return png(figure)
