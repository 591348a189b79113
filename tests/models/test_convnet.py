import pytest
import torch

from effdl.models.convnet import convnet


def test_sizes_on_mnist_are_those_of_the_lecture():
    model = convnet(1, 28, 10)
    assert [tuple(p.shape) for p in model.parameters() if p.dim() > 1] == [
        (32, 1, 5, 5),
        (64, 32, 5, 5),
        (200, 256),
        (10, 200),
    ]
    assert sum(p.numel() for p in model.parameters()) == 105_506


@pytest.mark.parametrize("size", [6, 8, 12, 27, 32, 96])
def test_takes_images_from_6_pixels_on(size):
    assert convnet(1, size, 10)(torch.zeros(2, 1, size, size)).shape == (2, 10)
