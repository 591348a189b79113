"""Costs of layers: the sum of the parts is the whole, also for transposed convolutions."""

import pytest
import torch
from torch import nn

from effdl.compression.prune.costs import costs
from effdl.compression.prune.dependency import Dependencies

pytest.importorskip("torch_pruning")


def decoder():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 6, 2, stride=2), nn.Flatten(), nn.Linear(6 * 64, 3))
    return model.eval()


def costs_of(model, target):
    images = torch.zeros(1, 2, 6, 6)
    return costs(model, images, target, Dependencies(model, images).groups(set()))


def test_the_macs_of_the_layers_are_those_of_the_model():
    model = decoder()
    found = costs_of(model, "macs")
    assert {module: part.product for module, part in found.parts.items()} == {
        model[0]: 4 * 2 * 9 * 16,
        model[1]: 4 * 6 * 4 * 16,  # each weight is multiplied once per pixel of the input
        model[3]: 6 * 64 * 3,
    }
    assert sum(part.product for part in found.parts.values()) == found.total


def test_hooks_are_removed_after_an_error():
    model = decoder()
    with pytest.raises(RuntimeError):
        costs(model, torch.zeros(1, 3, 6, 6), "macs", [])
    assert not any(module._forward_hooks for module in model.modules())
