import io

import torch
from matplotlib.image import imread

from effdl.report.plots.drawings import drawings


def test_each_image_is_shown_as_it_is_as_seen_and_as_drawn():
    gray = torch.full((4, 3, 1, 8, 8), 0, dtype=torch.uint8)
    gray[:, 1], gray[:, 2] = 100, 200
    pixels = imread(io.BytesIO(drawings(gray)))[:, :, 0] * 255
    height, width = pixels.shape
    middle = pixels[:, int(0.7 * width)].round()
    seen = [value for value in (0, 100, 200) if (middle == value).sum() > height / 5]
    assert seen == [0, 100, 200]
