import pytest
import torch
from torch import nn

from effdl.models.vgg import vgg


def test_vgg16_has_14728266_parameters():
    assert sum(p.numel() for p in vgg(3, 32, 10).parameters()) == 14_728_266


@pytest.mark.parametrize("depth", [11, 16])
def test_features_compute_what_torchvision_does(depth):
    import torchvision

    reference = getattr(torchvision.models, f"vgg{depth}_bn")(init_weights=False).features.eval()
    model = vgg(3, 32, 10, depth=depth)
    features = model[: len(reference)].eval()
    features.load_state_dict(reference.state_dict())
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(features(images), reference(images))


@pytest.mark.parametrize(("size", "poolings"), [(8, 3), (28, 4), (32, 5), (96, 5)])
def test_small_images_have_fewer_poolings(size, poolings):
    model = vgg(1, size, 10, depth=11, width=0.25)
    assert sum(isinstance(module, nn.MaxPool2d) for module in model) == poolings
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 10)


def test_width_scales_the_channels():
    convolutions = [m.out_channels for m in vgg(3, 32, 10, depth=11, width=0.5) if isinstance(m, nn.Conv2d)]
    assert convolutions == [32, 64, 128, 128, 256, 256, 256, 256]


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_depth_counts_the_layers_with_weights_but_two_linear_ones(depth):
    layers = [module for module in vgg(1, 8, 10, depth=depth, width=0.1) if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth - 2
