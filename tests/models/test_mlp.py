import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.models.mlp import mlp


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_lenet_300_100_has_266610_parameters():
    assert parameters(mlp(1, 28, 10)) == 266_610


def test_width_multiplies_the_hidden_layers():
    assert parameters(mlp(1, 28, 10, width=0.5)) == parameters(mlp(1, 28, 10, hidden=[150, 50]))


def test_without_hidden_layers_it_is_a_linear_classifier():
    assert parameters(mlp(3, 8, 5, hidden=[])) == (3 * 8 * 8 + 1) * 5


def test_dropout_acts_in_training_only():
    model, image = mlp(1, 8, 10, dropout=0.5), torch.ones(1, 1, 8, 8)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))


def test_batch_norm_comes_before_each_relu_and_changes_nothing_else():
    torch.manual_seed(0)
    plain = mlp(1, 8, 10, hidden=[20, 30])
    torch.manual_seed(0)
    normed = mlp(1, 8, 10, hidden=[20, 30], batchnorm=True)
    layers = [type(layer) for layer in normed]
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert layers == [nn.Flatten, *hidden, *hidden, nn.Linear]
    assert [layer.num_features for layer in normed if isinstance(layer, nn.BatchNorm1d)] == [20, 30]
    assert [type(layer) for layer in plain] == [kind for kind in layers if kind is not nn.BatchNorm1d]
    for a, b in zip(
        (x for x in plain if hasattr(x, "weight")), (x for x in normed if isinstance(x, nn.Linear)), strict=True
    ):
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.bias, b.bias)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("relu", F.relu), ("gelu", F.gelu), ("silu", F.silu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid)],
)
def test_the_activation_follows_every_hidden_layer(activation, function):
    model, images = mlp(1, 4, 3, hidden=[6, 5], activation=activation).eval(), torch.randn(2, 1, 4, 4)
    first, second, last = (layer for layer in model if isinstance(layer, nn.Linear))
    expected = last(function(second(function(first(images.flatten(1))))))
    assert torch.equal(model(images), expected)
