"""What a step brought must hold after the next one."""

import pytest
import torch
from torch import nn

from effdl.measure.layers import per_layer
from effdl.runs.invariants import summary, unkept, violations


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def rows(model):
    return per_layer(model, (1, 8, 8))


def zeroed(model, count):
    with torch.no_grad():
        model[0].weight.view(-1)[:count] = 0
    return model


def test_nothing_is_broken_by_more_zeros_or_fewer_bits():
    before, after = rows(zeroed(network(), 5)), rows(zeroed(network(), 9))
    assert violations(before, before) == []
    assert violations(before, after) == []
    assert violations(before, [{**row, "weight_bits": 8, "activation_bits": 4} for row in after]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights_nonzero": 33}, "0 has 33 non-zero weights, had 31"),
        ({"weight_bits": 33}, "0 has 33 bits a weight, had 32"),
        ({"activation_bits": 33}, "0 has 33 bits an input, had 32"),
        ({"macs": 10**6}, "there are 1,000,432 MACs, were 1,728"),
        ({"name": "renamed", "weights_nonzero": 33}, "there are 465 non-zero weights, were 463"),
    ],
)
def test_what_is_lost_is_named(change, message):
    before = rows(zeroed(network(), 5))
    after = [{**before[0], **change}, before[1]]
    assert message in violations(before, after)


def test_a_layer_of_another_shape_is_only_compared_in_the_sum():
    small = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    assert violations(rows(zeroed(network(), 30)), rows(small)) == []
    assert violations(rows(small), rows(network())) == ["there are 1,728 MACs, were 864"]


def test_what_holds_in_words():
    text = summary(rows(zeroed(network(), 36)), rows(network()))
    assert (
        text == "7.69% of the weights zero, 32 bits a weight, 100.00% of the dense model's weights, 100.00% of its MACs"
    )


@pytest.mark.parametrize(
    ("kind", "kept", "message"),
    [
        ("mask", {"weights_nonzero": 30}, "a method of the kind mask leaves zeros: there were 5, there are 5"),
        ("structure", {"shape": [2, 1, 3, 3]}, "changes the shapes of layers: all are as they were"),
        ("values", {"weight_bits": 4}, "the kind values stores values in fewer bits: all are as they were"),
        ("conversion", {"activation_bits": 8}, "the kind conversion stores values in fewer bits: all are as they were"),
    ],
)
def test_a_method_does_what_its_kind_says(kind, kept, message):
    before = rows(zeroed(network(), 5))
    assert message in unkept(kind, before, before)
    assert unkept(kind, before, [{**before[0], **kept}, before[1]]) is None
    assert unkept("training", before, before) is None
    assert unkept(None, before, before) is None
