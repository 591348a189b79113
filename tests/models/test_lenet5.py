import pytest
import torch
from torch import nn

from effdl.models.lenet5 import lenet5


def test_caffe_lenet_has_431080_parameters_and_one_relu():
    model = lenet5(1, 28, 10)
    assert sum(p.numel() for p in model.parameters()) == 431_080
    assert [tuple(p.shape) for p in model.parameters() if p.dim() > 1] == [
        (20, 1, 5, 5),
        (50, 20, 5, 5),
        (500, 800),
        (10, 500),
    ]
    assert sum(isinstance(module, nn.ReLU) for module in model) == 1


@pytest.mark.parametrize(("size", "features"), [(4, 50), (8, 200), (12, 450), (27, 1800), (28, 800), (32, 1250)])
def test_takes_images_from_4_pixels_on(size, features):
    model = lenet5(1, size, 10)
    assert model[5].in_features == features
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 10)
