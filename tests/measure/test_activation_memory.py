"""Peaks against closed formulas, and the best order against all orders."""

import random
from itertools import permutations

import pytest
import torch
from torch import nn

from effdl.measure.activation_memory import lowest_peak, peak_activation_bytes
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet
from effdl.nn.activation_graph import ActivationGraph, Step, activation_graph
from effdl.nn.quantizers import ActivationQuantizer


def elements(model, *shape):
    return peak_activation_bytes(model, shape, 1)


def test_a_layer_holds_its_input_and_its_output():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 300), nn.Linear(300, 10))
    assert elements(model, 1, 8, 8) == 100 + 300
    assert peak_activation_bytes(model, (1, 8, 8), 4) == 4 * 400
    assert elements(nn.Linear(6, 2), 1, 1, 6) == 8


def test_a_residual_block_holds_three_maps():
    assert elements(resnet(3, 32, 10, depth=8), 3, 32, 32) == 3 * 16 * 32 * 32


def test_an_inverted_residual_holds_its_expanded_maps():
    """Sandler et al. 2018, table 2: 96 channels of 112x112 enter a depthwise convolution of stride 2."""
    timm = pytest.importorskip("timm")
    model = timm.create_model("mobilenetv2_100")
    assert elements(model, 3, 224, 224) == 96 * 112 * 112 + 96 * 56 * 56


@pytest.mark.parametrize("inplace", [False, True])
def test_norms_and_activations_need_no_place_of_their_own(inplace):
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace))
    assert elements(model, 3, 10, 10) == 11 * 100


def test_what_is_read_again_keeps_its_place():
    class Twice(nn.Module):
        def forward(self, x):
            y = x * 2
            return y.relu() + y.sigmoid()

    assert elements(Twice(), 1, 1, 5) == 10  # y and what becomes of it; then the sum in place


def test_what_is_read_before_it_is_changed_in_place_is_computed_before():
    class Changed(nn.Module):
        def forward(self, x):
            y = x * 2
            z = y[..., :1] * 3
            y.relu_()
            return y + z

    graph = activation_graph(Changed(), torch.randn(1, 1, 1, 4))
    changing = next(step for step in graph.steps if step.changes)
    assert next(step for step in graph.steps if step.reads == changing.reads and step is not changing) is graph.steps[1]
    assert lowest_peak(graph) == 4 + 1


def test_values_that_nothing_reads_and_weights_do_not_count():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.randn(1000))

        def forward(self, x):
            values, _ = nn.functional.max_pool2d(x, 2, return_indices=True)
            (x * 5).sum()
            return values + (self.bias * 2).mean()

    assert elements(Pooled(), 1, 4, 4) == 16 + 4


class Branches(nn.Module):
    """Computes the branch first whose end is wide."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide, self.end = nn.Linear(4, 50), nn.Linear(4, 100), nn.Linear(100, 2)

    def forward(self, x):
        narrow = self.narrow(x)
        return torch.cat([narrow, self.end(self.wide(x))], -1)


def test_branches_are_computed_in_the_best_order():
    assert elements(Branches(), 1, 1, 4) == 4 + 100 + 2


def test_quantizers_of_activations_hold_no_copies():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), ActivationQuantizer(8, signed=True), nn.Conv2d(8, 4, 1))
    assert elements(model, 3, 10, 10) == 12 * 100


def drawn(seed):
    """A random graph of up to seven operations."""
    draw = random.Random(seed)
    sizes, steps = {0: draw.randint(1, 9)}, []
    for number in range(1, draw.randint(3, 8)):
        reads = frozenset(draw.sample(range(number), min(number, draw.randint(1, 2))))
        sizes[number] = draw.choice([sizes[min(reads)], draw.randint(1, 9)])
        steps.append(Step(reads, (number,), draw.random() < 0.4))
    read = frozenset().union(*(step.reads for step in steps))
    return ActivationGraph(tuple(steps), sizes, 0, frozenset(sizes) - read)


def peak_by_hand(graph, order):
    """What the values of one order need, without the code's shortcuts; None if it cannot be computed so."""
    held, peak = {graph.given}, 0
    for position, step in enumerate(order):
        if not step.reads <= held:
            return None
        later = frozenset().union(*(other.reads for other in order[position + 1 :])) | graph.results
        dying = step.reads - later
        sums = sum(graph.sizes[value] for value in held)
        new = sum(graph.sizes[value] for value in step.writes)
        in_place = step.elementwise and any(graph.sizes[value] == new for value in dying)
        peak = max(peak, sums, sums + (0 if in_place else new))
        held = held - dying | set(step.writes)
    return peak


@pytest.mark.parametrize("seed", range(60))
def test_the_best_of_all_orders(seed):
    graph = drawn(seed)
    peaks = [peak_by_hand(graph, order) for order in permutations(graph.steps)]
    assert lowest_peak(graph) == min(peak for peak in peaks if peak is not None)


def test_too_many_orders_leave_that_of_the_model(monkeypatch):
    graph = activation_graph(Branches(), torch.randn(1, 1, 1, 4))
    monkeypatch.setattr("effdl.measure.activation_memory._STATES", 0)
    assert lowest_peak(graph) == 4 + 50 + 100


def test_the_model_and_the_random_numbers_stay_as_they_were():
    model = mobilenetv2(3, 32, 10).train()
    before, state = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    elements(model, 3, 32, 32)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
