"""A matplotlib figure that needs no window, and its PNG."""

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor


def new_figure(width: float, height: float, dpi: int = 140, layout: str | None = "constrained") -> Figure:
    """An empty figure, its size in inches, that makes room for what is in it.

    Args:
        dpi: pixels per inch.
        layout: a layout engine of matplotlib, which draws everything twice; None: the axes stay where they are put.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()


def pixels(image: "Tensor") -> "ndarray":
    """An image (C, H, W) as matplotlib draws it, (H, W, 3); C is 1 or 3, of others the first channel is shown."""
    image = image if len(image) == 3 else image[:1]
    return image.permute(1, 2, 0).expand(-1, -1, 3).numpy()


def height(entries: int) -> float:
    """Inches that a picture needs beside a legend of so many lines."""
    return max(4.8, 0.7 + 0.19 * entries)
