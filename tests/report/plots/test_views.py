"""The picture of views: names and headings keep clear of images and of each other."""

from itertools import combinations

import pytest
import torch

from effdl.report.plots.views import views_grid

LONG = "a name of many words that goes on and on, and further still, to the end of all lines and beyond it"


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("names", [["3", "7", "9"], [LONG, "W" * 60, "$x_{1}$ & more"]])
def test_nothing_overlaps(channels, names):
    pixels = torch.randint(256, (3, 5, channels, 8, 8), dtype=torch.uint8)
    figure = views_grid(pixels[:, 0], pixels[:, 1:], names, LONG)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [text.get_window_extent() for text in (*axes.texts, *figure.texts)]
    images = [image.get_window_extent() for image in axes.images]
    assert (len(texts), len(images)) == (3 + 5 + 1, 15)
    assert not [one for one, other in combinations([*texts, *images], 2) if one.shrunk(0.98, 0.98).overlaps(other)]
    for box in (*texts, *images):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_images_are_where_they_belong():
    pixels = torch.arange(6, dtype=torch.uint8).reshape(2, 3, 1, 1, 1) * 40
    figure = views_grid(pixels[:, 0], pixels[:, 1:], ["a", "b"], "title")
    shown = {(image.get_extent()[0] > 0.5, round(image.get_extent()[2])): image for image in figure.axes[0].images}
    assert shown[False, 1].get_array().flatten().tolist() == [0, 0, 0]
    assert shown[False, 2].get_array().flatten().tolist() == [120, 120, 120]
