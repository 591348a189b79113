"""Features are those of the layers, and the hooks leave nothing behind."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

from effdl.compression.distill.features import Features, Teacher, as_map, at_same_size
from effdl.nn.mask import Mask


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 5))


def test_outputs_and_inputs_are_those_of_the_layers_in_the_order_asked_for():
    model, images = network().eval(), torch.randn(2, 1, 4, 4)
    outputs, inputs = Features(model, ["2", "0"]), Features(model, ["4"], inputs=True)
    model(images)
    late, early = outputs.take()
    assert torch.equal(early, model[0](images))
    assert torch.equal(late, model[:3](images))
    assert torch.equal(inputs.take()[0], model[:4](images))


def test_gradients_flow_through_a_feature_of_the_student():
    model, images = network(), torch.randn(2, 1, 4, 4)
    features = Features(model, ["0"])
    model(images)
    features.take()[0].sum().backward()
    expected = torch.autograd.grad(model[0](images).sum(), model[0].weight)[0]
    assert torch.equal(model[0].weight.grad, expected)


def test_what_was_taken_is_forgotten():
    model = network()
    features = Features(model, ["0"])
    model(torch.randn(2, 1, 4, 4))
    features.take()
    assert features.latest == {}
    with pytest.raises(KeyError):
        features.take()


def test_nothing_is_left_after_closing():
    model = network()
    before = copy.deepcopy(model.state_dict())
    features = Features(model, ["0", "2"])
    assert list(model.state_dict()) == list(before)
    model.eval()(torch.randn(2, 1, 4, 4))
    features.close()
    copied = copy.deepcopy(model)
    assert not any(module._forward_hooks for module in [*model.modules(), *copied.modules()])
    copied(torch.randn(2, 1, 4, 4))
    assert features.latest == {}
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_layers_with_a_parametrized_weight_are_followed():
    model = network()
    keep = torch.zeros(3, 1, 3, 3, dtype=torch.bool)
    parametrize.register_parametrization(model[0], "weight", Mask(keep))
    features = Features(model, ["0"])
    model(torch.randn(2, 1, 4, 4))
    assert torch.equal(features.take()[0], model[0].bias.view(1, 3, 1, 1).expand(2, 3, 2, 2))
    features.close()
    assert parametrize.is_parametrized(copy.deepcopy(model)[0])


def test_a_running_average_can_be_made_after_a_forward_pass():
    model, images = network().eval(), torch.randn(2, 1, 4, 4)
    features = Features(model, ["0"])
    model(images)  # a copy must not copy what the hooks hold, which is no leaf of the graph
    AveragedModel(model)
    assert features.take()[0].requires_grad


def test_a_teacher_answers_without_gradients_and_stays_as_it_was():
    model = network().eval()
    before = copy.deepcopy(model.state_dict())
    teacher = Teacher(model, ["0"])
    images = torch.randn(4, 1, 4, 4).to(memory_format=torch.channels_last)
    logits = teacher(images)
    [feature] = teacher.features.take()
    assert logits.shape == (4, 5)
    assert not logits.requires_grad
    assert not feature.requires_grad
    assert not model.training
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_vectors_and_tokens_as_maps():
    assert as_map(torch.randn(2, 5)).shape == (2, 5, 1, 1)
    maps = torch.randn(2, 7, 3, 3)
    assert torch.equal(as_map(maps.flatten(2).transpose(1, 2)), maps)
    assert as_map(torch.randn(2, 10, 7)).shape == (2, 7, 10, 1)  # nine tokens and a class token
    assert as_map(maps) is maps
    assert torch.equal(as_map(maps.permute(0, 2, 3, 1), maps.shape[1]), maps)


def test_maps_of_different_sizes_are_averaged_down():
    large, small = torch.arange(16.0).view(1, 1, 4, 4), torch.randn(1, 2, 2, 2)
    for one, two in (at_same_size(large, small), at_same_size(small, large)[::-1]):
        assert one.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
        assert two is small
    wide, high = at_same_size(torch.ones(1, 1, 2, 6), torch.ones(1, 1, 4, 3))
    assert wide.shape == high.shape == (1, 1, 2, 3)
