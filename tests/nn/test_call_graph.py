"""Who reads whose output, seen in a forward pass."""

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.nn.call_graph import CallGraph, leaves
from effdl.nn.mask import Mask


class Residual(nn.Module):
    """Two layers, a sum with what the first gave, and an activation in place."""

    def __init__(self):
        super().__init__()
        self.last, self.first, self.act = nn.Linear(4, 4), nn.Linear(3, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.first(x)
        return self.act(x + self.last(x))


def graph_of(model, *shape):
    graph = CallGraph(model, torch.randn(*shape))
    return graph, {call.name: call for call in graph.calls}


def test_calls_are_in_the_order_of_the_pass_and_not_of_the_names():
    graph, calls = graph_of(Residual(), 2, 3)
    assert [call.name for call in graph.calls] == ["first", "last", "act"]
    assert calls["last"].entering == calls["first"].leaving
    assert [call.dimensions for call in graph.calls] == [2, 2, 2]


def test_readers_are_counted():
    graph, calls = graph_of(Residual(), 2, 3)
    assert calls["first"].readers == 2  # the second layer and the sum
    assert calls["last"].readers == 1
    assert graph.only_reader(calls["first"]) is None
    assert graph.only_reader(calls["last"]) is None  # a sum, which is no module


def test_a_chain_is_followed_both_ways():
    graph, calls = graph_of(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.0).eval(), nn.Linear(4, 2)), 2, 3)
    assert graph.producer(calls["1"].entering) == calls["0"]
    assert graph.only_reader(calls["0"]) == calls["1"]
    assert graph.only_reader(calls["1"]) == calls["3"]  # what does nothing is looked through
    assert graph.producer(calls["0"].entering) is None  # the images
    assert graph.only_reader(calls["3"]) is None
    assert graph.output == calls["3"].leaving


def test_what_was_changed_in_place_is_another_value():
    graph, calls = graph_of(nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)), 2, 3)
    assert calls["0"].leaving != calls["1"].leaving
    assert graph.producer(calls["2"].entering) == calls["1"]


def test_a_layer_that_is_called_twice():
    layer = nn.Linear(3, 3)
    graph, _ = graph_of(nn.Sequential(layer, nn.ReLU(), layer), 2, 3)
    assert graph.times[layer] == 2


def test_a_layer_joined_with_its_reader():
    graph, calls = graph_of(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4).eval(), nn.ReLU()), 2, 3)
    graph.join({"0": "1"})
    assert [call.name for call in graph.calls] == ["0", "2"]
    assert graph.calls[0].entering == calls["0"].entering
    assert graph.calls[0].leaving == calls["1"].leaving
    assert graph.only_reader(graph.calls[0]).name == "2"


def test_parametrizations_are_no_layers_and_nothing_stays_behind():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()))
    parametrize.register_parametrization(model[0], "weight", Mask(torch.ones(4, 3, dtype=torch.bool)))
    assert [name for name, _ in leaves(model)] == ["0", "1.0"]
    graph, _ = graph_of(model, 2, 3)
    assert [call.name for call in graph.calls] == ["0", "1.0"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_a_model_keeps_of_its_parameters_can_be_copied():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.bias, self.kept = nn.Linear(4, 4), nn.Parameter(torch.ones(4)), None

        def forward(self, x):
            self.kept = self.bias * 2
            return self.layer(x) + self.kept

    model = Caching().eval()
    graph = CallGraph(model, torch.zeros(1, 4))
    copy.deepcopy(model)
    assert [call.readers for call in graph.calls] == [1]
    assert all(parameter.requires_grad for parameter in model.parameters())
