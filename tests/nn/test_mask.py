"""Masked weights are zero and stay zero."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.nn.layers import weights
from effdl.nn.mask import Mask, mask_of, under_mask
from effdl.training import optimizers as optim

OPTIMIZERS = {
    "sgd": lambda model: optim.sgd(model, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda model: optim.adam(model, lr=0.05, weight_decay=0.1),
    "adamw": lambda model: optim.adamw(model, lr=0.05, weight_decay=0.1),
}


def train(model, optimizer, steps):
    model.train()
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        images = torch.randn(8, 1, 4, 4, generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images), torch.randint(3, (8,), generator=generator)).backward()
        optimizer.step()


def test_where_the_mask_is_false_there_is_a_positive_zero(bits):
    weight = torch.tensor([-1.0, -2.0, -0.0, float("inf"), float("nan"), 3.0])
    keep = torch.tensor([False, True, False, False, False, True])
    assert torch.equal(bits(Mask(keep)(weight)), bits(torch.tensor([0.0, -2.0, 0.0, 0.0, 0.0, 3.0])))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_stays(dtype):
    assert Mask(torch.tensor([True, False]))(torch.ones(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_stay_zero_whatever_trains(name, bits, network, masked):
    model = network()
    train(model, OPTIMIZERS[name](model), 3)  # momentum is there before the mask is
    masks = masked(model)
    before = {name: getattr(module, attribute).clone() for name, module, attribute in weights(model)}
    train(model, OPTIMIZERS[name](model), 10)
    for layer, module, attribute in weights(model):
        weight = getattr(module, attribute)
        assert torch.equal(weight != 0, masks[layer])
        assert (bits(weight)[~masks[layer]] == 0).all()  # not -0.0
        assert not torch.equal(weight, before[layer])


def test_an_optimizer_from_before_the_mask_cannot_revive_a_weight(network, masked):
    """The parameter under the mask is the very one the optimizer knows, with all its momentum."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    train(model, optimizer, 5)
    masks = masked(model)
    train(model, optimizer, 5)
    for layer, module, attribute in weights(model):
        assert torch.equal(getattr(module, attribute) != 0, masks[layer])


def test_the_gradient_is_zero_there_and_the_same_elsewhere(network, masked):
    dense, sparse = network(), network()
    masks = masked(sparse)
    with torch.no_grad():
        for layer, module, attribute in weights(dense):
            getattr(module, attribute).mul_(masks[layer])
    images, labels = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    for model in (dense, sparse):
        F.cross_entropy(model(images), labels).backward()
    for (layer, plain, _), (_, module, _) in zip(weights(dense), weights(sparse), strict=True):
        gradient = module.parametrizations.weight.original.grad
        assert (gradient[~masks[layer]] == 0).all()
        assert torch.equal(gradient[masks[layer]], plain.weight.grad[masks[layer]])


def test_masks_travel_in_the_state_dict(network, masked):
    model, other = network(), network()
    masks = masked(model)
    masked(other, sparsity=0.0)
    other.load_state_dict(model.state_dict())
    for layer, module, _ in weights(other):
        assert torch.equal(module.parametrizations.weight[0].keep, masks[layer])
    copied = copy.deepcopy(model)
    assert torch.equal(copied[0].weight, model[0].weight)


def test_attention_projections_can_be_masked(masked):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    masked(layer)
    x = torch.randn(2, 5, 8)
    trained = layer.train()(x)
    with torch.no_grad():
        assert torch.allclose(layer.eval()(x), trained, atol=1e-6)  # the fused path of evaluation sees the mask too


def test_a_weight_has_one_mask(network):
    model = network()
    weight, parameter = model[0].weight.detach().clone(), model[0].weight
    mask = mask_of(model[0], "weight")
    assert mask.keep.all()
    assert mask.keep.shape == weight.shape
    assert mask_of(model[0], "weight") is mask
    assert torch.equal(model[0].weight, weight)
    assert under_mask(model[0], "weight") is parameter
    assert under_mask(model[4], "weight") is model[4].weight  # without a mask
    mask.keep[0] = False
    assert torch.equal(model[0].weight[0], torch.zeros_like(weight[0]))
    assert torch.equal(model[0].weight[1:], weight[1:])


def test_a_mask_is_found_beside_others(network):
    model = network()
    parametrize.register_parametrization(model[4], "weight", nn.Identity())
    mask = mask_of(model[4], "weight")
    parametrize.register_parametrization(model[4], "weight", nn.Identity())
    assert mask_of(model[4], "weight") is mask
    assert len(model[4].parametrizations.weight) == 3


def test_a_mask_has_the_weight_s_layout():
    convolution = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    assert mask_of(convolution, "weight").keep.is_contiguous(memory_format=torch.channels_last)
