"""Quantizers: activations and weights on their grids, whatever trains them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.nn.mask import Mask
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import (
    ActivationQuantizer,
    ActivationSign,
    WeightQuantizer,
    activation_quantizers,
    keep_scales_positive,
    symmetric_scale,
)
from effdl.training import optimizers as optim


def quantizer(bits, signed, scale, zero_point):
    made = ActivationQuantizer(bits, signed)
    with torch.no_grad():
        made.scale.fill_(scale)
        made.zero_point.fill_(zero_point)
    return made


@pytest.mark.parametrize(
    ("signed", "zero_point", "expected"),
    [(False, 0, [0.0, 0.0, 0.5, 7.5]), (False, 4, [-2.0, -1.0, 0.5, 5.5]), (True, 0, [-4.0, -1.0, 0.5, 3.5])],
)
def test_four_bits_of_a_half(signed, zero_point, expected):
    values = quantizer(4, signed, 0.5, zero_point)(torch.tensor([-100.0, -1.1, 0.4, 100.0]))
    assert torch.equal(values, torch.tensor(expected))


def test_zero_stays_zero_whatever_the_zero_point():
    for zero_point in (0, 100, 255):
        assert quantizer(8, False, 0.037, zero_point)(torch.zeros(2, 3)).view(torch.int32).eq(0).all()


def test_the_same_as_pytorch():
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    reference = torch.fake_quantize_per_tensor_affine(x, 0.03125, 77, 0, 255)
    assert torch.equal(quantizer(8, False, 0.03125, 77)(x), reference)


def test_its_state_dict_has_scale_and_zero_point():
    other = ActivationQuantizer(8, signed=False)
    other.load_state_dict(quantizer(8, False, 0.25, 9).state_dict())
    assert (other.scale.item(), other.zero_point.item()) == (0.25, 9.0)


def test_training_learns_the_scale():
    learned = quantizer(8, True, 0.5, 0)
    learned(torch.randn(100)).pow(2).sum().backward()
    assert learned.scale.grad != 0


def layer():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3)


def test_codes_cover_the_largest_weight_of_each_output():
    weight = layer().weight.detach()
    scale = symmetric_scale(weight, 8, per_channel=True)
    assert scale.shape == (4, 1, 1, 1)
    assert torch.equal(scale.flatten(), weight.abs().flatten(1).max(dim=1).values / 127)
    codes = WeightQuantizer(8, scale, learn=False)(weight) / scale
    assert torch.equal(codes.abs().flatten(1).max(dim=1).values.round(), torch.full((4,), 127.0))


def test_a_scale_for_the_whole_tensor():
    weight = layer().weight
    scale = symmetric_scale(weight, 4, per_channel=False)
    assert scale.shape == ()
    assert scale.item() == pytest.approx(weight.abs().max().item() / 7)


def test_an_output_without_weights_has_scale_one():
    weight = torch.zeros(2, 3)
    weight[1] = 6.35
    assert torch.allclose(symmetric_scale(weight, 8, per_channel=True), torch.tensor([[1.0], [0.05]]))


@pytest.mark.parametrize(("bits", "low", "high"), [(8, -127, 127), (7, -63, 63), (6, -32, 31), (4, -8, 7), (2, -2, 1)])
def test_range_of_codes(bits, low, high):
    values = WeightQuantizer(bits, torch.tensor(1.0), learn=False)(torch.tensor([-1e3, 1e3]))
    assert values.tolist() == [low, high]


def test_the_same_as_pytorch_per_channel():
    weight = layer().weight.detach()
    scale = 2.0 ** symmetric_scale(weight, 8, per_channel=True).log2().ceil()
    zeros = torch.zeros(4, dtype=torch.int32)
    reference = torch.fake_quantize_per_channel_affine(weight, scale.flatten(), zeros, 0, -127, 127)
    assert torch.equal(WeightQuantizer(8, scale, learn=False)(weight), reference)


def test_permanent_weights_are_their_codes_times_the_scale():
    conv = layer()
    parametrize.register_parametrization(
        conv, "weight", WeightQuantizer(7, symmetric_scale(conv.weight, 7, True), True)
    )
    grid = quant_grids(conv)["weight"]
    weight = materialize_parametrizations(conv).weight
    codes = (weight / grid.scale).round()
    assert grid.bits == 7
    assert grid.scale.shape == (4, 1, 1, 1)
    assert torch.equal(codes * grid.scale, weight)
    assert codes.abs().max() == 63


@pytest.mark.parametrize("learn", [False, True])
def test_training_keeps_zeros_and_grid(learn):
    model = nn.Sequential(nn.Linear(6, 5))
    keep = torch.rand(5, 6, generator=torch.Generator().manual_seed(1)) > 0.5
    parametrize.register_parametrization(model[0], "weight", Mask(keep))
    scale = symmetric_scale(model[0].weight, 8, True)
    parametrize.register_parametrization(model[0], "weight", WeightQuantizer(8, scale, learn))
    before = model[0].weight.detach().clone()
    optimizer = optim.sgd(model, lr=0.1, weight_decay=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).pow(2).sum().backward()
        optimizer.step()
        keep_scales_positive(model)
    weight, grid = model[0].weight, quant_grids(model)["0.weight"]
    assert not torch.equal(weight, before)
    assert (weight[~keep].view(torch.int32) == 0).all()
    assert torch.equal((weight / grid.scale).round() * grid.scale, weight)
    assert torch.equal(grid.scale, scale) is not learn


def test_no_optimizer_decays_scales():
    model = nn.Sequential(layer(), ActivationQuantizer(8, signed=True))
    parametrize.register_parametrization(model[0], "weight", WeightQuantizer(8, torch.full((4, 1, 1, 1), 0.1), True))
    decayed, spared = optim.sgd(model, weight_decay=0.1).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3, 3, 3)]
    assert {p.shape for p in spared["params"]} == {(4,), ()}


def test_scales_stay_positive():
    model = nn.Sequential(layer(), ActivationQuantizer(8, signed=False))
    parametrize.register_parametrization(model[0], "weight", WeightQuantizer(8, torch.full((4, 1, 1, 1), 0.1), True))
    with torch.no_grad():
        model[1].scale.fill_(-0.25)
        model[0].parametrizations.weight[0].step_size[:2] = torch.tensor([0.0, -0.5])
    keep_scales_positive(model)
    assert model[1].scale == 0.25
    scale = quant_grids(model)["0.weight"].scale.flatten()
    assert scale[0] > 0
    assert torch.equal(scale[1:], torch.tensor([0.5, 0.1, 0.1]))
    assert torch.isfinite(model[0].weight).all()


def test_quantizers_of_activations_are_found_in_order_with_their_bits():
    model = nn.Sequential(ActivationSign(), nn.Sequential(nn.ReLU(), ActivationQuantizer(4, signed=False)), layer())
    parametrize.register_parametrization(model[2], "weight", WeightQuantizer(8, torch.tensor(0.1), True))
    assert [module.bits for module in activation_quantizers(model)] == [1, 4]
    assert list(ActivationSign().state_dict()) == []
