"""Separable and grouped convolutions: the published numbers of weights and multiply-accumulates."""

import pytest
import torch
from torch import nn

from effdl.measure.macs import macs
from effdl.models.convnet import convnet
from effdl.models.resnet import resnet, resnet18
from effdl.models.variants import convolutions
from effdl.models.vgg import vgg
from effdl.utils.errors import UserError

IMAGE = (3, 10, 10)


def two_layers(**options):
    """A stem, and a convolution of C=12 to N=20 channels."""
    return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 20, 5, **options))


def cost(model):
    """Weights and multiply-accumulates of all but the stem, which has 12 x 27 weights at 100 positions."""
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))
    return weights - 12 * 27, macs(model, IMAGE)["macs"] - 12 * 27 * 100


@pytest.mark.parametrize(("options", "positions"), [({}, 36), ({"padding": 2}, 100), ({"stride": 2, "padding": 2}, 25)])
@pytest.mark.parametrize(
    ("kind", "groups", "weights"),
    [
        ("standard", 2, 25 * 12 * 20),
        ("separable", 2, 25 * 12 + 12 * 20),
        ("grouped", 1, 25 * 12 * 20),
        ("grouped", 2, 25 * 12 * 20 // 2),
        ("grouped", 4, 25 * 12 * 20 // 4),
    ],
)
def test_weights_and_macs_follow_the_formulas(kind, groups, weights, options, positions):
    model = two_layers(**options)
    shape = model(torch.zeros(1, *IMAGE)).shape
    model = convolutions(model, kind, groups)
    assert model(torch.zeros(1, *IMAGE)).shape == shape
    assert cost(model) == (weights, weights * positions)
    assert [m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d)][-1]


def test_a_depthwise_filter_sees_one_channel():
    model = convolutions(two_layers(bias=False), "separable", 2)
    depthwise, pointwise = model[1]
    assert (depthwise.groups, depthwise.weight.shape, depthwise.bias) == (12, (12, 1, 5, 5), None)
    assert (pointwise.weight.shape, pointwise.bias) == ((20, 12, 1, 1), None)


def test_small_windows_and_grouped_layers_stay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, (1, 3)))
    before = list(model)
    convolutions(model, "separable", 2)
    assert [new is old for new, old in zip(model, before, strict=True)] == [True, True, True, False]
    assert model[3][0].kernel_size == (1, 3)


@pytest.mark.parametrize("make", [resnet, resnet18, vgg, convnet])
def test_families_have_the_variants(make):
    def weights(**options):
        model = make(3, 32, 10, **options)
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        return [m for m in model.modules() if isinstance(m, nn.Conv2d)]

    standard, grouped = weights(), weights(conv="grouped", groups=4)
    assert [m.groups for m in grouped] == [
        4 if index and m.kernel_size[0] > 1 else 1 for index, m in enumerate(standard)
    ]
    separable = weights(conv="separable")
    wide = [m for m in standard[1:] if m.kernel_size[0] > 1]
    narrow = [m for m in standard[1:] if m.kernel_size[0] == 1]
    expected = sum(m.in_channels * m.kernel_size[0] ** 2 + m.in_channels * m.out_channels for m in wide)
    expected += sum(m.weight.numel() for m in (standard[0], *narrow))
    assert sum(m.weight.numel() for m in separable) == expected


def test_standard_models_are_what_they_were():
    torch.manual_seed(0)
    state = resnet(3, 32, 10).state_dict()
    torch.manual_seed(0)
    other = resnet(3, 32, 10, conv="standard", groups=7).state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)


def test_resnet20_has_a_seventh_of_its_weights():
    """9 C N to 9 C + C N: near 1/9 + 1/N of the convolutions."""
    count = sum(p.numel() for p in resnet(3, 32, 10, conv="separable").parameters())
    convolutions = [(16, 16)] * 6 + [(16, 32)] + [(32, 32)] * 5 + [(32, 64)] + [(64, 64)] * 5
    assert count == sum(9 * c + c * n for c, n in convolutions) + 27 * 16 + 2 * (7 * 16 + 6 * 32 + 6 * 64) + 650


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match=r"model.groups=3: must divide the 16 input and 16 output channels of 3.conv1"):
        resnet(3, 32, 10, conv="grouped", groups=3)
