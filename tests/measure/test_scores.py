"""Scores against the papers' own rows, the rules' own examples, and formulas written out a second time."""

import subprocess
import sys

import pytest
from torch import nn

from effdl.measure.bits import zero_points
from effdl.measure.layers import per_layer
from effdl.measure.macs import macs
from effdl.measure.scores import (
    CIFAR100,
    IMAGENET,
    micronet_columns,
    micronet_operations,
    micronet_score,
    micronet_storage,
)
from effdl.measure.size import count
from effdl.models.resnet import resnet
from effdl.nn.quantizers import ActivationQuantizer


@pytest.mark.parametrize(("bits", "score"), [(32, 2.0), (16, 1.25)])
def test_micronet_score_of_the_reference(bits, score):
    """MobileNetV2-1.4: 6.9 M parameters, 585 M MACs; in 16 bits its sums still have 32: 1/2 + (1/2 + 1)/2."""
    storage = micronet_storage([(6_900_000, 6_900_000, bits)])
    operations = micronet_operations([(585e6, bits)])
    assert micronet_score(storage, operations, IMAGENET) == pytest.approx(score)
    assert IMAGENET.operations == 2 * 585e6


def test_micronet_storage_has_a_mask_where_it_pays():
    assert micronet_storage([(3200, 320, 8)]) == (320 * 8 + 3200) / 32  # a tenth of 8-bit values, a mask
    assert micronet_storage([(3200, 3200, 8)]) == 3200 * 8 / 32
    assert micronet_storage([(3200, 3199, 1)]) == 3200 / 32  # 1-bit values: the mask would cost more than it saves


def test_micronet_operations_agree_with_the_challenges_counter():
    """Its dot product of n terms has n multiplications and n - 1 additions, and one more for the bias."""
    channels, outputs, terms, sparsity = 64, 16 * 16, 9 * 32, 0.75
    nonzero = int(terms * (1 - sparsity))
    multiplications = nonzero * outputs * channels
    additions = (nonzero - 1) * outputs * channels + outputs * channels
    assert micronet_operations([(nonzero * outputs * channels, 8)]) == multiplications * 8 / 32 + additions * 32 / 32


def micronet_row(model, shape):
    return {**count(model), **macs(model, shape), "zero_points": zero_points(model)}, per_layer(model, shape)


def test_micronet_columns_of_a_network_fold_its_batch_norms():
    model = resnet(3, 32, 100, depth=20)
    row, layers = micronet_row(model, (3, 32, 32))
    columns = micronet_columns(row, layers, CIFAR100)
    # Every batch norm has 2 parameters per channel and becomes 1 bias; everything may count as 16-bit.
    normed = sum(module.num_features for module in model.modules() if type(module).__name__ == "BatchNorm2d")
    assert normed > 0
    assert columns["micronet_storage"] == (row["params"] - normed) * 16 / 32
    assert columns["micronet_operations"] == row["macs"] * (16 + 32) / 32
    expected = columns["micronet_storage"] / 36.5e6 + columns["micronet_operations"] / 10.49e9
    assert columns["micronet_score"] == pytest.approx(expected)


def test_micronet_columns_fold_batch_norms_beside_quantizers_of_activations():
    """Counted by hand: 8-bit weights, a bias for each channel, one scale each, an 8-bit zero point."""
    signed, unsigned = ActivationQuantizer(8, signed=True), ActivationQuantizer(8, signed=False)
    signed.zero_point.fill_(3)
    conv, norm, last = nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(4 * 36, 2)
    model = nn.Sequential(signed, conv, norm, nn.ReLU(), unsigned, nn.Flatten(), last)
    row = {**count(model), **macs(model, (1, 8, 8)), "zero_points": zero_points(model)}
    file = {"kind": "dense grid", "bits": 8, "bytes": 0}
    stored = {"1.weight": {**file, "table": 4}, "6.weight": {**file, "table": 1}}
    layers = per_layer(model, (1, 8, 8), {**stored, "": {"bytes": 1}})
    columns = micronet_columns(row, layers, CIFAR100)
    weights, biases, scales = 36 + 288, 4 + 2, (4 + 1) + 2  # of weights, and of activations
    assert columns["micronet_storage"] == weights * 8 / 32 + biases + scales + 8 / 32
    assert columns["micronet_operations"] == (36 * 36 + 288) * (8 + 32) / 32


def test_micronet_columns_count_a_codebook_and_multiply_its_floats():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    row = {**count(model), **macs(model, (1, 8, 8))}
    stored = {"1.weight": {"kind": "dense palette", "bits": 4, "table": 16, "bytes": 9}, "": {"bytes": 1}}
    columns = micronet_columns(row, per_layer(model, (1, 8, 8), stored), CIFAR100)
    assert columns["micronet_storage"] == 640 * 4 / 32 + 16 + 10
    assert columns["micronet_operations"] == 640 * (32 + 32) / 32


def test_micronet_counts_seven_bits_as_eight_and_a_shared_weight_once():
    layer = {"shape": [4, 8], "weights": 32, "weights_nonzero": 32, "macs": 32, "macs_nonzero": 32}
    layer |= {"weight_bits": 7, "activation_bits": 8}
    columns = micronet_columns({"params": 36, "macs": 64}, [{**layer, "params": 36}, {**layer, "params": 0}], CIFAR100)
    assert columns["micronet_storage"] == 32 * 8 / 32 + 4
    assert columns["micronet_operations"] == 64 * (8 + 32) / 32


def test_micronet_columns_lose_the_free_16_bits_when_anything_has_fewer():
    layer = {"shape": [4, 8], "params": 36, "weights": 32, "weights_nonzero": 8, "macs": 32, "macs_nonzero": 8}
    row = {"params": 36, "macs": 32}
    plain = micronet_columns(row, [{**layer, "weight_bits": 32, "activation_bits": 32}], CIFAR100)
    assert plain["micronet_storage"] == (8 * 16 + 32 + 4 * 16) / 32
    assert plain["micronet_operations"] == 8 * (16 + 32) / 32
    small = micronet_columns(row, [{**layer, "weight_bits": 4, "activation_bits": 8}], CIFAR100)
    assert small["micronet_storage"] == (8 * 4 + 32 + 4 * 32) / 32
    assert small["micronet_operations"] == 8 * (8 + 32) / 32


def test_micronet_columns_are_none_without_layers():
    assert set(micronet_columns({"params": 1, "macs": 1}, [], CIFAR100).values()) == {None}


def test_scores_need_no_torch():
    modules = ", ".join(f"effdl.measure.{name}" for name in ("course", "dcase", "training_cost"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
