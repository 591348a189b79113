import sys

import pytest
import torch

from effdl.models.timm import timm as bridge
from effdl.utils.errors import UserError


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_parameters_are_the_librarys_own():
    import timm

    assert parameters(bridge(1, 28, 10)) == parameters(timm.create_model("resnet18", num_classes=10, in_chans=1))


def test_models_of_a_fixed_size_are_made_for_the_size_of_the_data():
    assert bridge(1, 32, 10, name="vit_tiny_patch16_224")(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet81", "hf_hub:timm/resnet18", "resnet18.nothing"])
def test_unknown_names_are_refused_with_the_nearest(name):
    with pytest.raises(UserError, match=rf"model\.name={name}: timm has no such .*nearest names: .*resnet"):
        bridge(3, 32, 10, name=name)


def test_a_model_without_weights_cannot_be_pretrained():
    with pytest.raises(UserError, match=r"model\.weights=pretrained: timm has no weights for .*botnet50ts_256"):
        bridge(3, 32, 10, pretrained=True, name="botnet50ts_256")


def test_without_timm_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'effdl\[timm\]'"):
        bridge(3, 32, 10)
