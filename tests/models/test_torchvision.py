import pytest
import torch
from torch import nn
from torchvision import models

from effdl.models.surgery import last_layer
from effdl.models.torchvision import torchvision as bridge
from effdl.utils.errors import UserError


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_parameters_are_the_librarys_own(name):
    assert parameters(bridge(3, 32, 10, name=name)) == parameters(models.get_model(name, num_classes=10))


@pytest.mark.parametrize("name", [n for n in models.list_models(module=models) if not n.startswith("regnet")])
def test_first_and_last_layers_are_where_surgery_looks(name):
    with torch.device("meta"):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = models.get_model(name, num_classes=7, **options)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    last = last_layer(model)[1]
    assert (first.in_channels, first.groups) == (3, 1)
    assert 7 in (getattr(last, "out_features", None), getattr(last, "out_channels", None))


@pytest.mark.parametrize("name", ["resnet81", "fasterrcnn_resnet50_fpn", "quantized_resnet18", "r3d_18"])
def test_unknown_and_foreign_names_are_refused_with_the_nearest(name):
    with pytest.raises(UserError, match=rf"model\.name={name}: torchvision has no such .*nearest names: .*res"):
        bridge(3, 32, 10, name=name)


def test_vision_transformers_take_the_size_of_the_data():
    with torch.device("meta"):
        model = bridge(3, 32, 10, name="vit_b_32")
    assert model.encoder.pos_embedding.shape[1] == 2  # one patch and the class token


@pytest.mark.parametrize(("pretrained", "reason"), [(False, "32, does not divide the image size"), (True, "224x224")])
def test_vision_transformers_refuse_other_sizes(pretrained, reason):
    with pytest.raises(UserError, match=reason):
        bridge(3, 28, 10, pretrained, name="vit_b_32")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_removed(name, monkeypatch):
    make = models.get_model
    monkeypatch.setattr(models, "get_model", lambda name, **_: make(name, init_weights=False))  # its own takes 8 s
    model = bridge(1, 96, 10, name=name).train()
    assert model(torch.zeros(2, 1, 96, 96)).shape == (2, 10)
    assert not any("aux" in key.lower() for key in model.state_dict())


@pytest.mark.parametrize("classes", [10, 1000])
def test_pretrained_keeps_all_but_the_layers_that_do_not_fit(classes, monkeypatch):
    state = models.resnet18().state_dict()
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda *_, **__: state)  # the download
    model = bridge(1, 32, classes, pretrained=True, name="resnet18").state_dict()
    replaced = {"conv1.weight"} | ({"fc.weight", "fc.bias"} if classes != 1000 else set())
    assert all(torch.equal(model[key], state[key]) for key in state.keys() - replaced)
    torch.testing.assert_close(model["conv1.weight"], state["conv1.weight"].sum(dim=1, keepdim=True))
    assert model["fc.weight"].shape == (classes, 512)
