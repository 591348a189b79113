"""One layer at a time."""

import pytest
import torch
from torch import nn

from effdl.compression.sensitivity import analyse, pruned, quantized, tolerated, tolerated_bits
from effdl.nn.layers import weights


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))


def test_pruning_zeroes_the_smallest_of_the_layer():
    weight = torch.tensor([[3.0, -1.0, 0.5, -4.0]])
    assert pruned(weight, 0.5).tolist() == [[3.0, 0.0, 0.0, -4.0]]
    assert torch.equal(pruned(weight, 0.0), weight)


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_quantized_weights_are_those_of_pytorch(bits):
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    top = 2 ** (bits - 1) - 1
    scale = weight.flatten(1).abs().amax(1) / top
    expected = torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros(5, dtype=torch.int32), 0, -top, top)
    torch.testing.assert_close(quantized(weight, bits), expected, rtol=1e-5, atol=1e-7)


def test_a_filter_of_zeros_stays_zero():
    assert quantized(torch.zeros(2, 3), 4).tolist() == [[0.0] * 3] * 2


def test_every_layer_and_level_is_tried_alone():
    model, seen = network(), []
    before = [parameter.clone() for parameter in model.parameters()]

    def accuracy(changed):
        pairs = zip(before, changed.parameters(), strict=True)
        seen.append([not torch.equal(a, b) for a, b in pairs])
        return {"top1": float(torch.count_nonzero(changed[0].weight)) / 36}

    rows = list(analyse(model, accuracy, {"prune": [0.5], "quantize": [2]}, []))
    assert [(row["layer"], row["change"], row["level"]) for row in rows] == [
        ("0", "prune", 0.5),
        ("0", "quantize", 2),
        ("2", "prune", 0.5),
        ("2", "quantize", 2),
    ]
    assert seen == [[True, False, False, False]] * 2 + [[False, False, True, False]] * 2
    assert rows[0]["top1"] == 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(list(weights(model))) == 2


def test_what_is_known_is_not_measured_again():
    first = list(analyse(network(), lambda model: {"top1": 0.5}, {"prune": [0.5]}, []))
    again = list(analyse(network(), lambda model: pytest.fail("measured"), {"prune": [0.5]}, first))
    assert again == first


def test_the_amount_is_the_largest_up_to_which_all_levels_hold():
    def row(layer, level, top1):
        return {"layer": layer, "change": "prune", "level": level, "top1": top1}

    rows = [
        *(row("a", level, top1) for level, top1 in [(0.9, 0.97), (0.5, 0.98), (0.3, 0.99)]),
        *(row("b", level, top1) for level, top1 in [(0.3, 0.9), (0.5, 0.99)]),
        {"layer": "a", "change": "quantize", "level": 2, "top1": 0.1},
    ]
    assert tolerated(rows, 0.99, 0.015) == {"a": 0.5, "b": 0.0}


def test_the_bits_are_the_fewest_down_to_which_all_levels_hold():
    top1 = {"a": {16: 0.5, 8: 0.99, 4: 0.98, 3: 0.9, 2: 0.985}, "b": {8: 0.97, 4: 0.99}}
    rows = [
        {"layer": layer, "change": "quantize", "level": bits, "top1": found}
        for layer, measured in top1.items()
        for bits, found in measured.items()
    ]
    assert tolerated_bits(rows, 0.99, 0.015) == {"a": 4, "b": 8}
    assert tolerated_bits([{**row, "change": "prune"} for row in rows], 0.99, 0.015) == {}
