"""Optimizers against PyTorch's own, and what the weight decay spares."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.models.vit import vit
from effdl.nn.mask import Mask
from effdl.training import optimizers as optim

MAKERS = {
    "sgd": (optim.sgd, lambda p, wd: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=wd)),
    "adam": (optim.adam, lambda p, wd: torch.optim.Adam(p, lr=1e-3, betas=(0.9, 0.999), weight_decay=wd)),
    "adamw": (optim.adamw, lambda p, wd: torch.optim.AdamW(p, lr=1e-3, betas=(0.9, 0.999), weight_decay=wd)),
    "rmsprop": (optim.rmsprop, lambda p, wd: torch.optim.RMSprop(p, lr=1e-3, alpha=0.99, momentum=0, weight_decay=wd)),
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def train(model, optimizer, steps=5):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        images = torch.randn(8, 1, 4, 4, generator=generator)
        labels = torch.randint(3, (8,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def names(model, group):
    kept = {id(parameter) for parameter in group["params"]}
    return [name for name, parameter in model.named_parameters() if id(parameter) in kept]


@pytest.mark.parametrize("name", MAKERS)
def test_with_decay_on_everything_it_is_pytorch_s_own(model, name):
    ours, plain = MAKERS[name]
    other = copy.deepcopy(model)
    mine = train(model, ours(model, weight_decay=0.01, decay_norm_bias=True))
    theirs = train(other, plain(other.parameters(), 0.01))
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_norms_and_biases_are_spared(model, name):
    ours, plain = MAKERS[name]
    optimizer = ours(model, weight_decay=0.01)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert names(model, decayed) == ["0.weight", "4.weight"]
    assert names(model, spared) == ["0.bias", "1.weight", "1.bias", "4.bias"]
    other = copy.deepcopy(model)
    groups = [
        {"params": [p for p in other.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in other.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    mine, theirs = train(model, optimizer), train(other, plain(groups, 0.5))
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("decay_norm_bias", [True, False])
def test_every_parameter_is_in_one_group(decay_norm_bias):
    model = vit(3, 32, 10, dim=12, depth=2)
    groups = optim.parameter_groups(model, 0.1, decay_norm_bias)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_frozen_parameters_are_left_out_and_shared_ones_are_in_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    groups = optim.parameter_groups(model, 0.1, False)
    assert [len(group["params"]) for group in groups] == [1, 2]


def test_an_empty_group_is_left_out():
    assert [len(group["params"]) for group in optim.parameter_groups(nn.BatchNorm1d(3), 0.1, False)] == [2]
    assert [len(group["params"]) for group in optim.parameter_groups(nn.Linear(3, 2, bias=False), 0.1, False)] == [1]


def test_a_masked_weight_is_still_decayed():
    model = nn.Linear(3, 2)
    parametrize.register_parametrization(model, "weight", Mask(torch.ones(2, 3, dtype=torch.bool)))
    decayed, spared = optim.parameter_groups(model, 0.1, False)
    assert names(model, decayed) == ["parametrizations.weight.original"]
    assert names(model, spared) == ["bias"]


def test_no_momentum_means_no_nesterov(model):
    assert optim.sgd(model, momentum=0.0).defaults["nesterov"] is False
    assert optim.sgd(model).defaults["nesterov"] is True
    assert optim.sgd(model, nesterov=False).defaults["nesterov"] is False


@pytest.mark.parametrize("name", MAKERS)
def test_groups_are_divided_by_factors_and_keep_all_else(model, name):
    optimizer = MAKERS[name][0](model, lr=0.1, weight_decay=0.01)
    factors = dict.fromkeys([*model[0].parameters(), *model[1].parameters()], 0.5)
    groups = optim.scaled_groups(optimizer.param_groups, factors)
    found = [(group["lr"], group["weight_decay"], names(model, group)) for group in groups]
    assert found == [
        (0.1, 0.01, ["4.weight"]),
        (0.05, 0.01, ["0.weight"]),
        (0.1, 0.0, ["4.bias"]),
        (0.05, 0.0, ["0.bias", "1.weight", "1.bias"]),
    ]
    optimizer.param_groups[:] = groups
    train(model, optimizer)
