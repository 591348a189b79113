import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.measure.size import count, file_bytes, pruned
from effdl.nn import mask as masks
from effdl.nn.quantizers import WeightQuantizer


class Mask(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


class Scale(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, weight):
        return weight * self.scale


def half_mask(weight):
    return (torch.arange(weight.numel()) % 2).reshape(weight.shape).to(weight)


def test_counts():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    with torch.no_grad():
        model[0].weight[0] = 0  # 27 zeros
        model[1].bias.fill_(0)  # 4 more, not weights
        model[1].weight.fill_(1)
    result = count(model)
    assert result["params"] == 4 * 27 + 4 + 8 + 80 + 5 == 205
    assert result["params_nonzero"] == 205 - 31
    assert result["sparsity"] == 1 - 174 / 205
    assert result["weight_sparsity"] == 1 - (188 - 27) / 188


def test_tied_weights_count_once():
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    with torch.no_grad():
        first.weight[:2] = 0
    result = count(nn.Sequential(first, second, first))
    assert result == {"params": 64, "params_nonzero": 48, "sparsity": 0.25, "weight_sparsity": 0.25}


def test_parametrized_counts_as_materialized():
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 2)).train()
    parametrize.register_parametrization(model[0], "weight", Mask(half_mask(model[0].weight)))
    parametrize.register_parametrization(model[0], "weight", Scale())
    parametrized = count(model)
    assert model.training
    parametrize.remove_parametrizations(model[0], "weight")
    assert parametrized == count(model)
    assert parametrized["params"] == 48 + 6 + 12 + 2
    assert parametrized["weight_sparsity"] == 1 - 36 / 60


def test_several_originals_count_as_one_tensor():
    model = nn.Sequential(nn.Linear(8, 6))
    nn.utils.parametrizations.weight_norm(model[0])
    assert count(model)["params"] == 48 + 6


def test_tied_and_parametrized():
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    for layer in (first, second):
        parametrize.register_parametrization(layer, "weight", Mask(half_mask(layer.weight)))
    assert count(nn.Sequential(first, second))["params"] == 64


def test_attention_and_empty():
    assert count(nn.MultiheadAttention(8, 2))["params"] == 4 * 64 + 4 * 8
    assert count(nn.ReLU()) == {"params": 0, "params_nonzero": 0, "sparsity": None, "weight_sparsity": None}
    assert count(nn.BatchNorm1d(3))["weight_sparsity"] is None


def test_file_bytes(tmp_path):
    (tmp_path / "model").write_bytes(b"x" * 1234)
    assert file_bytes(tmp_path / "model") == 1234
    with pytest.raises(FileNotFoundError):
        file_bytes(tmp_path / "none")


def test_what_masks_hold_at_zero_was_pruned_what_rounding_made_zero_was_not():
    """Two masks on one weight, a quantizer after them."""
    first, second, third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
    keep = torch.ones(4, 4, dtype=torch.bool)
    keep[0] = False
    parametrize.register_parametrization(first, "weight", masks.Mask(keep))
    parametrize.register_parametrization(first, "weight", masks.Mask(keep.T.clone()))
    parametrize.register_parametrization(first, "weight", WeightQuantizer(2, torch.tensor(1e3), learn=False))
    parametrize.register_parametrization(third, "weight", WeightQuantizer(2, torch.tensor(1e3), learn=False))
    model = nn.Sequential(first, second, third)
    assert pruned(model) == 4 + 4 - 1
    assert count(model)["params"] - count(model)["params_nonzero"] >= 16 + 8
