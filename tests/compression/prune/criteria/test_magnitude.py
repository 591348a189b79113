"""Global magnitude pruning, as shipped: PyTorch's choice of weights."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from effdl.measure.size import count
from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations


@pytest.mark.parametrize("level", [0.2, 0.5, 0.93])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_choice_is_pytorch_s(level, scope, trainer, pruned):
    torch.manual_seed(0)
    model = resnet(3, 32, 10)
    other = copy.deepcopy(model)
    ours = pruned(model, trainer, level, scope=scope)
    layers = [(module, name) for _, module, name in weights(other)]
    if scope == "global":
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=level)
    else:
        for (module, name), (_, mine, _) in zip(layers, weights(ours), strict=True):
            number = int((mine.weight == 0).sum())
            assert abs(number - level * mine.weight.numel()) < 1
            prune.l1_unstructured(module, name, number)
    for (_, mine, _), (theirs, _) in zip(weights(ours), layers, strict=True):
        assert torch.equal(mine.weight, theirs.weight)


def test_half_of_resnet_20(trainer, pruned):
    torch.manual_seed(0)
    model = resnet(3, 32, 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model = pruned(model, trainer, 0.5)
    assert trainer.asked == [(3, 0.2, 0)]  # half of the run's six epochs
    total = 269_722 - 1_376 - 10  # convolutions and the linear layer
    counted = count(model)
    assert counted["weight_sparsity"] == 0.5
    assert counted["params"] == 269_722
    assert counted["params_nonzero"] == total // 2 + 688 + 10  # the 688 biases of fresh batch norms are zero
    after = materialize_parametrizations(model).state_dict()
    for name, tensor in before.items():
        if tensor.ndim > 1:
            changed = after[name] != tensor
            assert (after[name][changed] == 0).all()
        else:
            assert torch.equal(after[name], tensor), name


def test_biases_norms_and_embeddings_are_left_alone(trainer, pruned):
    model = nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    pruned(model, trainer, 0.9)
    assert [parametrize.is_parametrized(module) for module in model] == [False, False, True]
    assert list(model[2].parametrizations) == ["weight"]
    assert int((model[2].weight == 0).sum()) == round(0.9 * 8)


def test_a_whole_layer_may_go(trainer, pruned):
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    with torch.no_grad():
        model[0].weight.mul_(1e-6)
    pruned(model, trainer, 0.5)
    assert torch.count_nonzero(model[0].weight) == 0
    assert torch.count_nonzero(model[1].weight) == 100


def test_the_count_is_exact_when_all_are_equal(trainer, pruned):
    model = nn.Sequential(nn.Linear(10, 100), nn.Linear(1, 23))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[1].weight.fill_(-1.0)
    pruned(model, trainer, 0.3)
    assert sum(int((layer.weight == 0).sum()) for layer in model) == round(0.3 * 1023)
