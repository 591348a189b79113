"""A confusion matrix as a picture."""

from collections.abc import Sequence

from torch import Tensor

from effdl.report.plots.figure import new_figure, png

_NUMBERED = 25  # more classes have no number in their cells,
_NAMED = 100  # and more than this no names


def confusion(matrix: Tensor, names: Sequence[str], title: str) -> bytes:
    """PNG with a line of cells for each class and a column for each answer, coloured by the part of the class's images.

    Args:
        matrix: (classes, classes), as `measure.confusion.confusion_matrix` makes it.
        names: of the classes, in order.
    """
    count = len(names)
    side = min(20.0, 2.4 + 0.34 * min(count, _NUMBERED) + 0.12 * max(0, count - _NUMBERED))
    figure = new_figure(side + 0.8, side, dpi=120)
    axes = figure.subplots()
    parts = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)
    image = axes.imshow(parts.numpy(), cmap="Blues", vmin=0, vmax=1)
    if count <= _NUMBERED:
        for y, row in enumerate(matrix.tolist()):
            for x, number in enumerate(row):
                if number:
                    colour = "white" if parts[y, x] > 0.5 else "0.2"
                    axes.text(x, y, f"{number:,}", ha="center", va="center", fontsize=7, color=colour)
    if count <= _NAMED:
        size = 8 if count <= _NUMBERED else 5
        axes.set_xticks(range(count), names, rotation=90, fontsize=size)
        axes.set_yticks(range(count), names, fontsize=size)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    figure.colorbar(image, label="part of the class's images", shrink=0.8)
    axes.set_title(title, fontsize=10, wrap=True)
    return png(figure)
