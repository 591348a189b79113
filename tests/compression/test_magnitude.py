"""Global magnitude pruning: exactly the right number, and PyTorch's choice of weights."""

import copy
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from effdl.compression.magnitude import keep_largest, magnitude
from effdl.compression.mask import make_permanent
from effdl.layers import weights
from effdl.measure.size import count
from effdl.models.resnet import resnet


@dataclass
class Bench:
    """A bench that only notes what it is asked for."""

    asked: list = field(default_factory=list)

    def fit(self, model, *, epochs=None, lr_scale=1.0):
        self.asked.append((epochs, lr_scale))
        return model


def zeros(masks):
    return sum(int((~mask).sum()) for mask in masks)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.1, 1 / 3, 0.5, 0.9, 0.999, 1 - 1e-9])
def test_exactly_the_fraction_is_zeroed(level):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for shape in [(7,), (3, 5), (4, 3, 3, 3), (1, 1)]]
    masks = keep_largest(tensors, level)
    assert [mask.shape for mask in masks] == [tensor.shape for tensor in tensors]
    assert all(mask.dtype == torch.bool for mask in masks)
    total = sum(tensor.numel() for tensor in tensors)
    assert zeros(masks) == round(level * total)
    kept = torch.cat([tensor[mask].abs() for tensor, mask in zip(tensors, masks, strict=True)])
    gone = torch.cat([tensor[~mask].abs() for tensor, mask in zip(tensors, masks, strict=True)])
    if len(kept) and len(gone):
        assert gone.max() < kept.min()


def test_of_equal_magnitudes_the_earlier_ones_go():
    tensors = [torch.tensor([1.0, -1.0, 1.0]), torch.tensor([[-1.0, 1.0], [2.0, 0.5]])]
    first, second = keep_largest(tensors, 3 / 7)
    assert first.tolist() == [False, False, True]
    assert second.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_count_is_exact_when_all_are_equal(value):
    masks = keep_largest([torch.full((100, 10), value), torch.full((23,), -value)], 0.3)
    assert zeros(masks) == round(0.3 * 1023)


def test_zeros_are_among_those_that_go():
    weight = torch.randn(100, generator=torch.Generator().manual_seed(0))
    weight[:30], weight[1] = 0.0, -0.0
    [mask] = keep_largest([weight], 0.4)
    assert not mask[:30].any()
    assert zeros([mask]) == 40
    [mask] = keep_largest([weight], 0.1)
    assert zeros([mask]) == 10
    assert not mask[:10].any()


def test_more_in_a_second_step_keeps_the_first():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    [first] = keep_largest([weight], 0.5)
    [second] = keep_largest([torch.where(first, weight, 0.0)], 0.8)
    assert not second[~first].any()
    assert zeros([second]) == 800
    assert torch.equal(second, keep_largest([weight], 0.8)[0])


@pytest.mark.parametrize("level", [0.2, 0.5, 0.93])
def test_the_choice_is_pytorch_s(level):
    torch.manual_seed(0)
    model = resnet(3, 32, 10)
    other = copy.deepcopy(model)
    ours = magnitude(model, Bench(), level=level, epochs=0, lr_scale=1.0)
    layers = [(module, name) for _, module, name in weights(other)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=level)
    for (_, mine, _), (theirs, _) in zip(weights(ours), layers, strict=True):
        assert torch.equal(mine.weight, theirs.weight)


def test_half_of_resnet_20():
    torch.manual_seed(0)
    bench = Bench()
    model = resnet(3, 32, 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pruned = magnitude(model, bench, level=0.5, epochs=None, lr_scale=0.2)
    assert bench.asked == [(None, 0.2)]
    total = 269_722 - 1_376 - 10  # convolutions and the linear layer
    counted = count(pruned)
    assert counted["weight_sparsity"] == 0.5
    assert counted["params"] == 269_722
    assert counted["params_nonzero"] == total // 2 + 688 + 10  # the 688 biases of fresh batch norms are zero
    after = make_permanent(pruned).state_dict()
    for name, tensor in before.items():
        if tensor.ndim > 1:
            changed = after[name] != tensor
            assert (after[name][changed] == 0).all()
        else:
            assert torch.equal(after[name], tensor), name


def test_biases_norms_and_embeddings_are_left_alone():
    model = nn.Sequential(nn.Embedding(10, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    magnitude(model, Bench(), level=0.9, epochs=0, lr_scale=1.0)
    assert [parametrize.is_parametrized(module) for module in model] == [False, False, True]
    assert list(model[2].parametrizations) == ["weight"]
    assert int((model[2].weight == 0).sum()) == round(0.9 * 8)


def test_a_whole_layer_may_go():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    with torch.no_grad():
        model[0].weight.mul_(1e-6)
    magnitude(model, Bench(), level=0.5, epochs=0, lr_scale=1.0)
    assert torch.count_nonzero(model[0].weight) == 0
    assert torch.count_nonzero(model[1].weight) == 100
