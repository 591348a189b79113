import torch
from torch import nn

from effdl.models.blocks import conv_bn, he_init, pooled_classifier


def test_conv_bn_divides_the_map_by_its_stride():
    layers = nn.Sequential(*conv_bn(4, 8, 3, stride=2, groups=4))
    assert layers(torch.zeros(2, 4, 7, 7)).shape == (2, 8, 4, 4)


def test_pooled_classifier_takes_maps_of_any_size():
    layers = nn.Sequential(*pooled_classifier(4, 10, 0.0))
    assert layers(torch.zeros(2, 4, 1, 1)).shape == layers(torch.zeros(2, 4, 7, 5)).shape == (2, 10)


def test_he_init_has_variance_2_over_fan_out():
    torch.manual_seed(0)
    conv = he_init(nn.Conv2d(64, 128, 3))
    assert abs(conv.weight.var().item() / (2 / (128 * 9)) - 1) < 0.03
    assert conv.bias.abs().max() == 0
