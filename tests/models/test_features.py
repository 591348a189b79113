import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.models.features import feature_width, features
from effdl.models.resnet import resnet
from effdl.models.surgery import last_layer
from effdl.models.vit import vit
from effdl.nn.pooled import pooled

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def models():
    torch.manual_seed(0)
    images = {"channels": 3, "image_size": 8, "classes": 10}
    return resnet(**images, depth=8, width=0.5), vit(**images, patch=4, dim=16, depth=1, heads=2)


@pytest.mark.parametrize("model", models(), ids=["resnet", "vit"])
def test_the_last_layer_makes_the_logits_of_them(model):
    model.eval()
    _, layer = last_layer(model)
    found = features(model, IMAGES)
    assert found.shape == (3, feature_width(model)) == (3, layer.in_features)
    assert torch.equal(layer(found), model(IMAGES))
    assert not layer._forward_pre_hooks
    found.sum().backward()
    assert next(model.parameters()).grad.abs().sum() > 0
    assert layer.weight.grad is None


def test_those_of_a_convolution_are_averaged_over_positions():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = features(model, IMAGES)
    assert found.shape == (3, feature_width(model)) == (3, 5)
    assert torch.allclose(F.linear(found, model[1].weight[..., 0, 0], model[1].bias), model(IMAGES), atol=1e-6)


def test_pooled_over_tokens_and_maps():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert torch.equal(pooled(x, channels_last=False), x.mean((2, 3)))
    assert torch.equal(pooled(x, channels_last=True), x.mean((1, 2)))
    assert torch.equal(pooled(x[:, 0], channels_last=True), x[:, 0].mean(1))
    assert pooled(x[0, 0], channels_last=True).shape == (3, 4)
