"""What an autoencoder makes of images, as a picture."""

from torch import Tensor

from effdl.report.plots.figure import new_figure, pixels, png

_ROWS = ("image", "seen", "drawn")
_SIDE = 0.8  # inches of an image


def drawings(pictures: Tensor) -> bytes:
    """PNG of images in columns: as they are, as they were seen, and as they were drawn.

    Args:
        pictures: uint8 (n, 3, C, H, W), as `pixels` shows them.
    """
    count = len(pictures)
    figure = new_figure(0.7 + _SIDE * count, 0.1 + _SIDE * len(_ROWS))
    for number, axes in enumerate(figure.subplots(len(_ROWS), count, squeeze=False).flat):
        row, column = divmod(number, count)
        axes.imshow(pixels(pictures[column, row]), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        if column == 0:
            axes.set_ylabel(_ROWS[row], fontsize=8)
    return png(figure)
