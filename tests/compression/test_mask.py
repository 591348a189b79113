"""Masked weights are zero, stay zero, and are made permanent without a bit of difference."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl import optim
from effdl.compression.mask import Mask, make_permanent
from effdl.layers import weights
from effdl.models.resnet import resnet

OPTIMIZERS = {
    "sgd": lambda model: optim.sgd(model, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda model: optim.adam(model, lr=0.05, weight_decay=0.1),
    "adamw": lambda model: optim.adamw(model, lr=0.05, weight_decay=0.1),
}


def bits(tensor):
    return tensor.detach().contiguous().view(torch.int32)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def masked(model, sparsity=0.5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for name, module, attribute in list(weights(model)):
        masks[name] = torch.rand(getattr(module, attribute).shape, generator=generator) >= sparsity
        parametrize.register_parametrization(module, attribute, Mask(masks[name]))
    return masks


def train(model, optimizer, steps):
    model.train()
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        images = torch.randn(8, 1, 4, 4, generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images), torch.randint(3, (8,), generator=generator)).backward()
        optimizer.step()


def test_where_the_mask_is_false_there_is_a_positive_zero():
    weight = torch.tensor([-1.0, -2.0, -0.0, float("inf"), float("nan"), 3.0])
    keep = torch.tensor([False, True, False, False, False, True])
    assert torch.equal(bits(Mask(keep)(weight)), bits(torch.tensor([0.0, -2.0, 0.0, 0.0, 0.0, 3.0])))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_stays(dtype):
    assert Mask(torch.tensor([True, False]))(torch.ones(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_stay_zero_whatever_trains(name):
    model = network()
    train(model, OPTIMIZERS[name](model), 3)  # momentum is there before the mask is
    masks = masked(model)
    before = {name: getattr(module, attribute).clone() for name, module, attribute in weights(model)}
    train(model, OPTIMIZERS[name](model), 10)
    for layer, module, attribute in weights(model):
        weight = getattr(module, attribute)
        assert torch.equal(weight != 0, masks[layer])
        assert (bits(weight)[~masks[layer]] == 0).all()  # not -0.0
        assert not torch.equal(weight, before[layer])


def test_an_optimizer_from_before_the_mask_cannot_revive_a_weight():
    """The parameter under the mask is the very one the optimizer knows, with all its momentum."""
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    train(model, optimizer, 5)
    masks = masked(model)
    train(model, optimizer, 5)
    for layer, module, attribute in weights(model):
        assert torch.equal(getattr(module, attribute) != 0, masks[layer])


def test_the_gradient_is_zero_there_and_the_same_elsewhere():
    dense, sparse = network(), network()
    masks = masked(sparse)
    with torch.no_grad():
        for layer, module, attribute in weights(dense):
            getattr(module, attribute).mul_(masks[layer])
    images, labels = torch.randn(8, 1, 4, 4), torch.arange(8) % 3
    for model in (dense, sparse):
        F.cross_entropy(model(images), labels).backward()
    for (layer, plain, _), (_, module, _) in zip(weights(dense), weights(sparse), strict=True):
        gradient = module.parametrizations.weight.original.grad
        assert (gradient[~masks[layer]] == 0).all()
        assert torch.equal(gradient[masks[layer]], plain.weight.grad[masks[layer]])


def test_made_permanent_it_is_a_plain_model_with_the_same_bits():
    model = network()
    plain_keys = set(model.state_dict())
    masked(model)
    train(model, OPTIMIZERS["sgd"](model), 3)
    model.eval()
    images = torch.randn(4, 1, 4, 4)
    keys, output = list(model.state_dict()), model(images)
    seen = {name: getattr(module, attribute).clone() for name, module, attribute in weights(model)}

    permanent = make_permanent(model)

    assert set(permanent.state_dict()) == plain_keys
    assert [type(module) for module in permanent.modules()] == [type(module) for module in network().modules()]
    for name, module, attribute in weights(permanent):
        assert torch.equal(bits(getattr(module, attribute)), bits(seen[name]))
        assert isinstance(module.weight, nn.Parameter)
    assert torch.equal(permanent(images), output)
    network().load_state_dict(permanent.state_dict())

    # The original is as it was and shares nothing with the copy.
    assert list(model.state_dict()) == keys
    assert parametrize.is_parametrized(model[0], "weight")
    with torch.no_grad():
        for parameter in permanent.parameters():
            parameter.zero_()
    assert torch.equal(model(images), output)


def test_a_model_without_parametrizations_is_copied():
    model = network()
    copied = make_permanent(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), copied.parameters(), strict=True))
    assert not {id(p) for p in model.parameters()} & {id(p) for p in copied.parameters()}


class Rounded(nn.Module):
    """A second parametrization, such as a quantizer."""

    def forward(self, weight):
        return (weight * 8).round() / 8


def test_parametrizations_stack():
    model = network()
    masks = masked(model)
    for _, module, attribute in weights(model):
        parametrize.register_parametrization(module, attribute, Rounded())
    more = masked(model, sparsity=0.3, seed=3)
    train(model, OPTIMIZERS["sgd"](model), 5)
    permanent = make_permanent(model)
    for (layer, module, _), (_, plain, _) in zip(weights(model), weights(permanent), strict=True):
        weight = module.weight
        assert torch.equal(bits(plain.weight), bits(weight))
        assert (weight[~(masks[layer] & more[layer])] == 0).all()
        assert torch.equal(weight, (weight * 8).round() / 8)
    assert set(permanent.state_dict()) == set(network().state_dict())


def test_masks_travel_in_the_state_dict():
    model, other = network(), network()
    masks = masked(model)
    masked(other, sparsity=0.0)
    other.load_state_dict(model.state_dict())
    for layer, module, _ in weights(other):
        assert torch.equal(module.parametrizations.weight[0].keep, masks[layer])
    copied = copy.deepcopy(model)
    assert torch.equal(copied[0].weight, model[0].weight)


def test_attention_projections_can_be_masked():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    masked(layer)
    x = torch.randn(2, 5, 8)
    trained = layer.train()(x)
    with torch.no_grad():
        assert torch.allclose(layer.eval()(x), trained, atol=1e-6)  # the fused path of evaluation sees the mask too
        assert torch.equal(make_permanent(layer)(x), layer(x))


def test_a_whole_network_keeps_its_memory_layout():
    model = resnet(3, 32, 10, depth=8).to(memory_format=torch.channels_last).eval()
    masked(model)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(make_permanent(model)(images), model(images))
