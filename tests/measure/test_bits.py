"""Bits of activations, where they come from, and bit operations by a closed formula."""

import pytest
import torch
from torch import nn

from effdl.measure.bits import activation_bits, summary
from effdl.measure.layers import per_layer
from effdl.nn.quantizers import ActivationQuantizer


def test_bits_come_from_the_quantizer_before_the_layer():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        ActivationQuantizer(4, signed=False),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 4, 3),
        nn.Sequential(nn.ReLU(), ActivationQuantizer(8, signed=False)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4, 3),
        nn.Linear(3, 2),
    )
    assert activation_bits(model, (1, 8, 8)) == {"0": (32, 64), "4": (4, 18), "8": (8, 4), "9": (32, 3)}


def test_an_average_or_a_sum_of_integers_is_a_float_again():
    model = nn.Sequential(ActivationQuantizer(8, signed=True), nn.AvgPool2d(2), nn.Conv2d(1, 2, 3))
    assert activation_bits(model, (1, 8, 8)) == {"2": (32, 16)}


def test_half_precision_has_16_bits():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).to(torch.bfloat16)
    assert activation_bits(model, (1, 4, 4)) == {"1": (16, 16)}


def test_the_hooks_are_gone_and_the_mode_is_kept():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).train()
    activation_bits(model, (1, 4, 4))
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


def test_means_and_bit_operations():
    rows = [
        {"weights": 10, "weight_bits": 8, "inputs": 100, "activation_bits": 8, "macs_nonzero": 1000},
        {"weights": 30, "weight_bits": 4, "inputs": 300, "activation_bits": 32, "macs_nonzero": 50},
    ]
    found = summary(rows, 1060, 32)
    assert found["weight_bits"] == (10 * 8 + 30 * 4) / 40
    assert found["activation_bits"] == (100 * 8 + 300 * 32) / 400
    assert found["bops"] == 1000 * 64 + 50 * 4 * 32 + 10 * 32 * 32


def test_a_float_model_has_32_by_32_bit_operations_for_every_mac():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
    rows = per_layer(model, (1, 8, 8))
    found = summary(rows, sum(row["macs_nonzero"] for row in rows), 32)
    assert found == {"weight_bits": 32, "activation_bits": 32, "bops": (18 * 36 + 144) * 1024}


def test_a_model_without_weights_has_none():
    assert summary([], 0, 32) == {"weight_bits": None, "activation_bits": None, "bops": 0}


def test_bits_and_bytes_are_those_of_the_file():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    (row,) = per_layer(model, (1, 4, 4), {"1.weight": {"bits": 4, "bytes": 20}, "1.bias": {"bits": 32, "bytes": 60}})
    assert (row["weight_bits"], row["size_bytes"], row["share_of_size"]) == (4, 20, pytest.approx(0.25))
