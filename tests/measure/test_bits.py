"""Bits of activations, where they come from, and bit operations by a closed formula."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.measure.bits import arithmetic_bits, summary, zero_points
from effdl.measure.layers import per_layer
from effdl.nn.quantizers import ActivationQuantizer, ActivationSign


def activation_bits(model, input_shape):
    return {row["name"]: (row["activation_bits"], row["inputs"]) for row in per_layer(model, input_shape)}


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


def test_signs_have_one_bit_and_their_products_one_bit_operation():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), ActivationSign(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 4))
    stored = {f"{name}.weight": {"kind": "dense grid", "bits": 1, "table": 2, "bytes": 9} for name in (0, 4)}
    rows = per_layer(model, (1, 8, 8), stored)
    assert [(row["arithmetic_bits"], row["activation_bits"]) for row in rows] == [(1, 32), (1, 1)]
    found = summary(rows, 18 * 36 + 72, 32)
    assert found == {"weight_bits": 1, "activation_bits": (64 * 32 + 18) / 82, "bops": 18 * 36 * 32 + 72}


def test_an_average_or_a_sum_of_integers_is_a_float_again():
    model = nn.Sequential(ActivationQuantizer(8, signed=True), nn.AvgPool2d(2), nn.Conv2d(1, 2, 3))
    assert activation_bits(model, (1, 8, 8)) == {"2": (32, 16)}


def test_codes_that_the_forward_pass_changes_are_multiplied_as_floats():
    class Centered(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight - self.weight.mean())

    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), Centered(4, 2))
    with torch.no_grad():
        model[2].weight[0] = 0
    code = {"kind": "codes", "bits": 4, "table": 1, "bytes": 8}
    rows = per_layer(model, (1, 4, 4), {"1.weight": code, "2.weight": code})
    assert [(row["weight_bits"], row["arithmetic_bits"]) for row in rows] == [(4, 4), (4, 32)]


def test_half_precision_has_16_bits():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).to(torch.bfloat16)
    assert activation_bits(model, (1, 4, 4)) == {"1": (16, 16)}


def test_windows_of_quantized_activations_keep_their_bits_and_changed_ones_do_not():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.quantizer, self.first, self.second = (
                ActivationQuantizer(4, signed=True),
                nn.Linear(4, 4),
                nn.Linear(4, 4),
            )

        def forward(self, x):  # as in a Swin transformer: weights are read, not called
            x = torch.roll(F.pad(self.quantizer(x), (0, 0, 0, 0, 0, 1)), 1, dims=2).permute(0, 2, 1, 3).reshape(-1, 4)
            first = F.linear(x, self.first.weight)
            return first.sum() + F.linear(x.mul_(2), self.second.weight).sum()

    assert activation_bits(Windows(), (1, 3, 4)) == {"first": (4, 24), "second": (32, 24)}


def test_a_layer_that_is_used_twice_has_the_mean_of_its_bits():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, ActivationQuantizer(4, signed=True), layer)
    assert activation_bits(model, (1, 2, 4)) == {"0": (18, 16)}


def test_the_hooks_are_gone_and_the_mode_is_kept():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).train()
    activation_bits(model, (1, 4, 4))
    assert not any(module._forward_hooks for module in model.modules())
    assert model.training


def test_means_and_bit_operations():
    rows = [
        {"weights": 10, "weight_bits": 7, "inputs": 100, "activation_bits": 8, "macs_nonzero": 1000},
        {"weights": 30, "weight_bits": 4, "inputs": 300, "activation_bits": 32, "macs_nonzero": 50},
    ]
    rows = [{**row, "arithmetic_bits": bits} for row, bits in zip(rows, (8, 4), strict=True)]
    found = summary(rows, 1060, 32)
    assert found["weight_bits"] == (10 * 7 + 30 * 4) / 40
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
    stored = {"1.weight": {"kind": "sparse palette", "bits": 4, "table": 9, "bytes": 20}, "1.bias": {"bytes": 60}}
    (row,) = per_layer(model, (1, 4, 4), stored)
    assert (row["arithmetic_bits"], row["table"]) == (32, 9)
    assert (row["weight_bits"], row["size_bytes"], row["share_of_size"]) == (4, 20, pytest.approx(0.25))


@pytest.mark.parametrize(("kind", "bits", "width"), [
    ("dense", 32, 32), ("dense", 16, 16), ("dense palette", 4, 32), ("sparse palette", 1, 32),
    ("dense grid", 7, 8), ("sparse grid", 2, 2), ("dense grid", 1, 1),
])  # fmt: skip
def test_a_codebook_is_multiplied_as_floats(kind, bits, width):
    assert arithmetic_bits(kind, bits, bits if kind == "dense" else 32) == width


def test_bit_operations_of_a_codebook_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    stored = {"1.weight": {"kind": "dense palette", "bits": 4, "table": 16, "bytes": 20}}
    assert summary(per_layer(model, (1, 4, 4), stored), 32, 32)["bops"] == 32 * 32 * 32


def test_zero_points_are_those_that_are_not_zero():
    model = nn.Sequential(ActivationQuantizer(8, signed=False), nn.ReLU(), ActivationQuantizer(8, signed=False))
    assert zero_points(model) == 0
    model[2].zero_point.fill_(128)
    assert zero_points(model) == 1
