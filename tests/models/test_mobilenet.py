from itertools import pairwise

import pytest
from torch import nn

from effdl.models.mobilenet import mobilenet


def closed_form(width):
    """Parameters of Howard et al. 2017, table 1, batch norms included."""
    channels = [round(c * width) for c in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)]
    stem = 27 * channels[0] + 2 * channels[0]
    blocks = sum(9 * i + 2 * i + i * o + 2 * o for i, o in pairwise(channels))
    return stem + blocks + (channels[-1] + 1) * 10


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_parameters(width):
    assert sum(p.numel() for p in mobilenet(3, 32, 10, width=width).parameters()) == closed_form(width)


def test_mobilenet_has_3217226_parameters():
    assert closed_form(1.0) == 3_217_226


def test_half_of_the_convolutions_after_the_stem_are_depthwise():
    convolutions = [m for m in mobilenet(1, 28, 10) if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 27
    assert sum(m.groups == m.in_channels == m.out_channels for m in convolutions[1:]) == 13
