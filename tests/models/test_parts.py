"""The parts of models of every library, in the order in which they are used."""

import pytest
import torch
import torchvision
from torch import nn

from effdl.models.densenet import densenet
from effdl.models.parts import belongs, parts
from effdl.models.resnet import resnet
from effdl.models.vgg import vgg
from effdl.models.vit import vit
from effdl.nn.mask import mask_of

IMAGES = {"channels": 3, "image_size": 32, "classes": 10}


def found(model, side=32):
    return parts(model, torch.zeros(2, 3, side, side))


def names(model, side=32):
    return [part.name for part in found(model, side)]


def check_all_is_owned_once(model, side=32):
    """Every parameter belongs to one part."""
    of = found(model, side)
    for name, _ in model.named_parameters():
        assert sum(belongs(name, part.members) for part in of) == 1, name


def test_a_residual_network():
    model = resnet(**IMAGES, depth=8)
    assert names(model) == ["0", "3", "4", "5", "9"]
    assert [part.modules for part in found(model)] == [("0", "1", "2"), ("3",), ("4",), ("5", "6", "7", "8"), ("9",)]
    check_all_is_owned_once(model)


def test_a_transformer_a_plain_and_a_dense_network():
    assert names(vit(**IMAGES, dim=16, heads=2, depth=2)) == ["0", "2", "3", "6"]
    plain = vgg(**IMAGES, depth=11)
    layers = [name for name, layer in plain.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert names(plain) == layers
    dense = densenet(**IMAGES, depth=10)
    assert names(dense) == ["0", "1", "4", "7", "10", "13", "19"]  # a layer, a transition, a layer ...
    for model in (plain, dense):
        check_all_is_owned_once(model)


@pytest.mark.parametrize(
    ("name", "count", "first", "last_two"),
    [
        ("resnet18", 10, "conv1", ["layer4.1", "fc"]),
        ("mobilenet_v2", 20, "features.0", ["features.18", "classifier.1"]),
        ("squeezenet1_1", 10, "features.0", ["features.12", "classifier.1"]),
    ],
)
def test_those_of_torchvision(name, count, first, last_two):
    model = getattr(torchvision.models, name)(weights=None, num_classes=10)
    of = names(model, 64)
    assert (len(of), of[0], of[-2:]) == (count, first, last_two)
    check_all_is_owned_once(model, 64)


def test_a_class_token_and_positions_belong_to_the_first_part():
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=10
    )
    first, *_, block, last = found(model)
    assert first.name == "conv_proj"
    assert set(first.parameters) == {"class_token", "encoder.pos_embedding"}
    assert block.modules == ("encoder.layers.encoder_layer_1", "encoder.ln")
    assert last.name == "heads.head"
    check_all_is_owned_once(model)


def test_those_of_timm():
    timm = pytest.importorskip("timm")
    model = timm.create_model("efficientnet_lite0", num_classes=10)
    of = found(model, 64)
    assert len(of) == 19
    assert [part.name for part in of[:2]] == ["conv_stem", "blocks.0.0"]
    assert of[-2].modules == ("conv_head", "bn2", "global_pool")
    assert of[-1].modules == ("classifier",)
    check_all_is_owned_once(model, 64)


def test_order_is_that_of_use_and_nothing_is_changed():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.norm, self.first = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(48, 8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.second(self.norm(self.first(x.flatten(1)))))

    model = Crossed().train()
    state = torch.random.get_rng_state()
    assert [part.modules for part in parts(model, torch.randn(4, 3, 4, 4, generator=torch.Generator()))] == [
        ("first", "norm"),
        ("second",),
        ("head",),
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.norm.training
    assert model.norm.num_batches_tracked == 0


def test_a_mask_makes_no_other_parts():
    model = resnet(**IMAGES, depth=8)
    before = found(model)
    for layer in (model[0], model[3].conv1):
        mask_of(layer, "weight").keep = torch.rand_like(layer.weight) > 0.5
    assert found(model) == before
    check_all_is_owned_once(model)
