"""Layers are found by their maps, and the student's are paired with the teacher's."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.distill.layer_pairs import output_maps, pair_layers, stage_ends
from effdl.models.convnet import convnet
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet, resnet18
from effdl.models.vgg import vgg
from effdl.models.vit import vit
from effdl.nn.mask import Mask
from effdl.utils.errors import UserError


def names(pairs):
    return [(pair.student, pair.teacher) for pair in pairs]


def maps_of(model, size=32):
    return output_maps(model, (3, size, size))


def test_the_stages_of_a_residual_network_end_with_its_groups_of_blocks():
    small, large = maps_of(resnet(3, 32, 10, depth=8)), maps_of(resnet(3, 32, 10, depth=20))
    assert stage_ends(small) == ["3", "4", "5"]
    assert stage_ends(large) == ["5", "8", "11"]
    assert [tuple(large[name]) for name in ("5", "8", "11")] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert next(iter(small)) == "0"
    assert list(small)[-1] == "8"  # the dropout before the last layer
    assert tuple(small["3.conv1"]) == (16, 32, 32)


def test_the_container_is_the_end_of_a_stage_in_torchvision():
    models = pytest.importorskip("torchvision.models")
    assert stage_ends(maps_of(models.resnet18(), 64)) == ["relu", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        (resnet(3, 32, 10, depth=8), resnet(3, 32, 10, depth=20), [("3", "5"), ("4", "8"), ("5", "11")]),
        (resnet(3, 32, 10, depth=8), resnet18(3, 32, 10), [("3", "4"), ("4", "6"), ("5", "8")]),
        (mlp(3, 32, 10, hidden=[30, 20]), mlp(3, 32, 10, hidden=[60, 50]), [("3", "3"), ("6", "6")]),
        (mlp(3, 32, 10, hidden=[30, 20]), mlp(3, 32, 10, hidden=[50]), [("3", "3"), ("6", "3")]),
    ],
)
def test_pairs_of_stage_ends(student, teacher, pairs):
    own, wanted = maps_of(student), maps_of(teacher)
    assert names(pair_layers(own, wanted, stage_ends(own), None, "key")) == pairs


def test_layers_without_an_equal_size_go_to_the_nearest():
    own, wanted = maps_of(convnet(3, 28, 10), 28), maps_of(resnet(3, 28, 10, depth=8), 28)
    sizes = [(own[a][1], wanted[b][1]) for a, b in names(pair_layers(own, wanted, stage_ends(own), None, "key"))]
    assert sizes == [(24, 28), (8, 7), (4, 7), (2, 7)]


def test_maps_of_one_pixel_are_no_stage_of_a_network_with_maps():
    maps = maps_of(vgg(3, 8, 10, depth=11, width=0.1), 8)
    assert {shape[1] for shape in maps.values()} == {8, 4, 2, 1}
    assert [maps[name][1] for name in stage_ends(maps)] == [8, 4, 2]


def test_tokens_are_maps():
    maps = maps_of(vit(3, 32, 10, dim=12, depth=2))
    assert [tuple(maps[name]) for name in stage_ends(maps)] == [(12, 8, 8)]
    assert stage_ends(maps) == ["4"]  # the norm after the last block


def test_maps_with_the_channels_last_are_read_as_such():
    models = pytest.importorskip("torchvision.models")
    student, teacher = maps_of(models.resnet18(), 64), maps_of(models.swin_t(), 64)
    expected = {"features.1": (96, 16, 16), "features.3": (192, 8, 8), "features.5": (384, 4, 4)}
    assert {name: tuple(teacher[name]) for name in expected} == expected
    pairs = pair_layers(student, teacher, ["layer1", "layer2", "layer3"], None, "key")
    assert [pair.teacher for pair in pairs] == list(expected)
    assert not any(".attn." in name for name in teacher)  # one output for each window
    blocks = maps_of(models.convnext_tiny(), 64)
    assert [tuple(blocks[name]) for name in ("features.1", "features.1.0.block.3")] == [(96, 16, 16), (384, 16, 16)]


def test_maps_that_can_be_read_in_two_ways_are_no_choice():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.rows, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.last(self.rows(self.conv(x)).mean((1, 2)))

    assert maps_of(Both(), 8) == {}
    assert tuple(maps_of(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(512, 2)), 8)["0"]) == (8, 8, 8)


def test_names_and_patterns_match_in_order_of_execution():
    own, wanted = maps_of(resnet(3, 32, 10, depth=8)), maps_of(resnet(3, 32, 10, depth=20))
    pairs = pair_layers(own, wanted, ["5", "3"], ["11.relu2", "5.relu2"], "key")
    assert names(pairs) == [("3", "5.relu2"), ("5", "11.relu2")]
    assert str(pairs[0]) == "3 (16x32x32) from 5.relu2 (16x32x32)"
    pairs = pair_layers(own, wanted, ["?.relu1"], ["[357].relu1"], "key")
    assert names(pairs) == [("3.relu1", "3.relu1"), ("4.relu1", "5.relu1"), ("5.relu1", "7.relu1")]


def test_a_pattern_without_a_layer_is_answered_with_the_layers():
    maps = maps_of(mlp(3, 32, 10, hidden=[30]))
    with pytest.raises(UserError) as error:
        pair_layers(maps, maps, ["1", "layer*"], None, "compression.hints")
    assert str(error.value) == (
        "compression.hints.student_layers: no layer of the student matches 'layer*'; its layers: 1, 2, 3"
    )
    with pytest.raises(UserError, match="teacher_layers: no layer of the teacher matches '4'; its layers: 1, 2, 3"):
        pair_layers(maps, maps, ["1"], ["4"], "compression.hints")


def test_lists_of_different_lengths_are_refused():
    maps = maps_of(mlp(3, 32, 10, hidden=[30]))
    with pytest.raises(UserError, match=r"key: 2 layers of the student \(1, 3\) cannot learn from 1 of the teacher"):
        pair_layers(maps, maps, ["[13]"], ["2"], "key")


def test_looking_at_the_layers_changes_nothing():
    torch.manual_seed(0)
    model = resnet(3, 32, 10, depth=8)
    parametrize.register_parametrization(model[0], "weight", Mask(torch.rand(16, 3, 3, 3) > 0.5))
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    maps = maps_of(model)
    assert not any("parametrizations" in name for name in maps)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_a_module_used_twice_counts_where_it_is_used_last():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.one, self.two, self.last = nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.last(self.relu(self.two(self.relu(self.one(x.mean((2, 3)))))))

    assert {name: tuple(shape) for name, shape in maps_of(Twice()).items()} == {
        "one": (4, 1, 1),
        "two": (6, 1, 1),
        "relu": (6, 1, 1),
    }
