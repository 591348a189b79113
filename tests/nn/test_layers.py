"""Which tensors are weights."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.models.resnet import resnet
from effdl.models.vit import vit
from effdl.nn.layers import CONVOLUTIONS, weights
from effdl.nn.mask import Mask


def names(model):
    return [(name, attribute) for name, _, attribute in weights(model)]


def test_convolutions_and_linear_layers_only():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2), nn.PReLU()
    )
    assert names(model) == [("0", "weight"), ("4", "weight")]
    assert [tuple(getattr(module, attribute).shape) for _, module, attribute in weights(model)] == [
        (4, 3, 3, 3),
        (2, 4),
    ]


def test_every_kind_of_convolution():
    model = nn.Sequential(*(kind(2, 2, 1) for kind in CONVOLUTIONS))
    assert len(names(model)) == len(CONVOLUTIONS) == 6


def test_attention_projections():
    model = nn.TransformerEncoderLayer(8, 2, 16)
    assert names(model) == [
        ("self_attn", "in_proj_weight"),
        ("self_attn.out_proj", "weight"),
        ("linear1", "weight"),
        ("linear2", "weight"),
    ]


def test_a_layer_used_twice_is_one():
    layer = nn.Linear(3, 3)
    assert names(nn.Sequential(layer, layer)) == [("0", "weight")]


def test_a_parametrized_weight_is_seen_as_the_forward_pass_sees_it():
    layer = nn.Linear(3, 2)
    parametrize.register_parametrization(layer, "weight", Mask(torch.zeros(2, 3, dtype=torch.bool)))
    [(_, module, attribute)] = weights(layer)
    assert torch.count_nonzero(getattr(module, attribute)) == 0


def test_counts_of_known_networks():
    # ResNet-20: 269,722 parameters less 1,376 of its 19 batch norms and 10 biases.
    model = resnet(3, 32, 10)
    assert len(names(model)) == 20
    assert sum(getattr(module, attribute).numel() for _, module, attribute in weights(model)) == 269_722 - 1_376 - 10
    transformer = vit(3, 32, 10, dim=12, depth=2)
    assert len(names(transformer)) == 1 + 2 * 4 + 1
