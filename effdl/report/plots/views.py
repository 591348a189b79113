"""Images of a data set beside their augmented views, as a picture."""

from collections.abc import Sequence
from textwrap import wrap

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from torch import Tensor

from effdl.report.plots.figure import new_figure, pixels

_SIDE = 0.85  # inches of an image
_GAP, _WIDE_GAP = 0.06, 0.25  # between images, and between originals and views, in sides
_NAME, _LINES = 22, 4  # characters of a line of a class's name, and lines beside an image
_POINTS = 8  # size of texts
_CHARACTER = 0.7 * _POINTS / 72  # inches that a character of the title takes on average, rather more
_LINE = 1.5 * _POINTS / 72  # inches of a line


def views_grid(originals: Tensor, augmented: Tensor, names: Sequence[str], title: str) -> Figure:
    """A figure with a line for each image: the name of its class, the image as it is, and its views.

    Args:
        originals: uint8 (N, C, H, W), as `pixels` shows them.
        augmented: uint8 (N, K, C, H, W).
        names: of the N images.
        title: above the picture.
    """
    count, shown = augmented.shape[:2]
    told = [wrap(name, _NAME, max_lines=_LINES, placeholder=" ...") or [""] for name in names]
    figure = new_figure(1, 1, layout=None)  # its size follows from that of the names
    left = max(_inches(figure, line) for lines in told for line in lines) + 0.2
    width = left + _SIDE * (_place(shown) + 1) + 0.1
    heading = wrap(title, max(20, int((width - 0.2) / _CHARACTER)))
    top = _LINE * (len(heading) + 1.6)
    height = top + _SIDE * count * (1 + _GAP) + 0.05
    figure.set_size_inches(width, height)
    figure.text(0.1 / width, 1 - 0.05 / height, "\n".join(heading), fontsize=_POINTS + 1, va="top", parse_math=False)
    axes = figure.add_axes((0, 0, 1, 1 - top / height))
    axes.set_axis_off()
    for line in range(count):
        middle = line * (1 + _GAP) + 0.5
        text = "\n".join(told[line])
        axes.text(-0.1, middle, text, fontsize=_POINTS, ha="right", va="center", parse_math=False)
        for column, image in enumerate([originals[line], *augmented[line]]):
            x = _place(column)
            extent = (x, x + 1, middle + 0.5, middle - 0.5)
            axes.imshow(pixels(image), extent=extent, interpolation="nearest", aspect="auto")
    for column in range(shown + 1):
        text = f"view {column}" if column else "original"
        axes.text(_place(column) + 0.5, -0.06, text, fontsize=_POINTS, ha="center", va="bottom", color="0.35")
    axes.set_xlim(-left / _SIDE, (width - left) / _SIDE)
    axes.set_ylim((height - top) / _SIDE, 0)
    return figure


def _inches(figure: Figure, text: str) -> float:
    """How wide a text is."""
    font = FontProperties(size=_POINTS)
    return figure.canvas.get_renderer().get_text_width_height_descent(text, font, False)[0] / figure.dpi


def _place(column: int) -> float:
    """Where the image of a column begins, in sides; 0 is the original."""
    return column * (1 + _GAP) + (_WIDE_GAP - _GAP if column else 0)
