"""SynFlow: its conservation law, and no layer collapse where others empty a layer."""

import pytest
import torch
from torch import nn

from effdl.compression.prune.criteria.synflow import positive, synflow
from effdl.models.resnet import resnet
from effdl.models.vgg import vgg
from effdl.nn.layers import weights
from effdl.utils.errors import RunError, UserError


def chain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def test_every_layer_carries_the_whole_flow(trainer):
    """Tanaka et al., theorem 2: on a chain a layer's scores sum to R, whatever its size."""
    model = chain()
    sums = [float(score.sum()) for score in synflow(model, trainer)]
    flow = positive(model)
    total = flow(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum().item()
    assert total > 0
    assert sums == pytest.approx([total] * 3, rel=1e-12)


def test_every_unit_carries_what_it_receives(trainer):
    """Theorem 1: the scores that enter a unit sum to those that leave it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    first, second = synflow(model, trainer)
    assert torch.allclose(first.sum(1), second.sum(0), rtol=1e-12)


def test_two_linear_layers_by_hand(trainer):
    """R = 1' |B| |A| 1, so the score of A[i, j] is |A[i, j]| times the sum of column i of |B|."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))
    a, b = model[1].weight.detach().double().abs(), model[3].weight.detach().double().abs()
    first, second = synflow(model, trainer)
    assert torch.allclose(first, a * b.sum(0)[:, None])
    assert torch.allclose(second, b * a.sum(1)[None, :])


def test_the_model_is_left_as_it_was(trainer):
    model = resnet(1, 8, 10, depth=8).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        synflow(model, trainer)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def emptied(model):
    return [name for name, module, attribute in weights(model) if not getattr(module, attribute).any()]


def test_no_layer_collapses_where_others_empty_some(trainer, pruned):
    """VGG-11 with untrained weights, as in figure 1 of the paper; it is the many passes that save its layers."""
    collapsed = {}
    for name, level, passes in [("magnitude", 0.99, 1), ("synflow", 0.999, 1), ("synflow", 0.999, 100)]:
        torch.manual_seed(0)
        model = pruned(vgg(1, 8, 10, depth=11, width=0.125), trainer, level, name=name, passes=passes)
        tensors = [getattr(module, attribute) for _, module, attribute in weights(model)]
        assert sum(int((t == 0).sum()) for t in tensors) == round(level * sum(t.numel() for t in tensors))
        collapsed[name, passes] = len(emptied(model))
    assert collapsed["magnitude", 1] > 0
    assert collapsed["synflow", 1] > 0
    assert collapsed["synflow", 100] == 0


def test_networks_through_which_nothing_flows(trainer):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    with pytest.raises(UserError, match="synflow: 2 is a LayerNorm"):
        synflow(model, trainer)


def test_a_flow_without_bounds(trainer):
    model = nn.Sequential(nn.Flatten(), *(nn.Linear(64, 64) for _ in range(20)))
    with torch.no_grad():
        for layer in model[1:]:
            layer.weight.fill_(1e30)
    with pytest.raises(RunError, match="the flow through this network is inf"):
        synflow(model, trainer)
