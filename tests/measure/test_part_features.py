"""Features of parts against those computed by calling the parts."""

import pytest
import torch
import torchvision
from torch import nn

from effdl.measure.eval_mode import eval_mode
from effdl.measure.macs import macs
from effdl.measure.part_features import costs, part_features
from effdl.models.parts import parts
from effdl.models.resnet import resnet
from effdl.models.vit import vit

IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCHES = [(IMAGES[:3], torch.zeros(3)), (IMAGES[3:], torch.zeros(2))]
SHAPE = (3, 8, 8)


def test_those_of_a_residual_network():
    torch.manual_seed(0)
    model = resnet(3, 8, 10, depth=8)
    of = parts(model, IMAGES)
    found = part_features(model, of, BATCHES, len(IMAGES))
    with eval_mode(model):
        expected = [model[:3], model[:4], model[:5], model[:6], model]
        expected = [part(IMAGES).flatten(2).mean(2) if part is not model else part(IMAGES) for part in expected]
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other)
    assert model.training
    spent = costs(model, of, SHAPE)
    assert [width for _, width in spent] == [16, 16, 32, 64, 10]
    assert spent[0][0] == 64 * 16 * 27
    assert spent[1][0] == spent[0][0] + 2 * 64 * 16 * 16 * 9
    assert spent[-1][0] == macs(model, SHAPE)["macs"]


def test_tokens_are_averaged():
    torch.manual_seed(0)
    model = vit(3, 8, 10, patch=4, dim=16, heads=2, depth=2)
    of = parts(model, IMAGES)
    found = part_features(model, of[:-1], BATCHES, len(IMAGES))
    with eval_mode(model):
        for mine, end in zip(found, (2, 3, 6), strict=True):
            x = model[:end](IMAGES)
            torch.testing.assert_close(mine, x.mean(1) if x.ndim == 3 else x)
    assert costs(model, of, SHAPE)[-1][0] == macs(model, SHAPE)["macs"]  # products of activations too


@pytest.mark.parametrize("channels_last", [False, True])
def test_maps_with_channels_in_front_or_behind(channels_last):
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 12)

        def forward(self, x):
            y = self.second(self.first(x.permute(0, 2, 3, 1)))
            return y if channels_last else y.permute(0, 3, 1, 2)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = Mixing(), nn.Linear(12, 10)

        def forward(self, x):
            return self.head(self.body(x).mean((1, 2) if channels_last else (2, 3)))

    model = Head()
    [features] = part_features(model, parts(model, IMAGES)[:1], BATCHES, len(IMAGES))
    with torch.no_grad():
        torch.testing.assert_close(features, model.body(IMAGES).mean((1, 2) if channels_last else (2, 3)))


def test_those_of_torchvision_s_transformers_of_windows():
    torch.manual_seed(0)
    sizes = {"patch_size": [4, 4], "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": [2, 2]}
    model = torchvision.models.SwinTransformer(**sizes, num_classes=10)
    images = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    of = parts(model, images)
    found = part_features(model, of[:-1], [(images, None)], len(images))
    assert [tensor.shape[1] for tensor in found] == [8, 8, 16, 16]
    with eval_mode(model):
        torch.testing.assert_close(found[1], model.features[:2](images).mean((1, 2)))
