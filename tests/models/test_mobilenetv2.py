import pytest
import torch

from effdl.models.mobilenetv2 import mobilenetv2


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("width", [0.35, 0.5, 1.0, 1.4])
def test_parameters_are_those_of_torchvision(width):
    import torchvision

    reference = torchvision.models.mobilenet_v2(num_classes=10, width_mult=width)
    assert parameters(mobilenetv2(3, 32, 10, width=width)) == parameters(reference)


def test_computes_what_torchvision_does_with_the_same_strides():
    import torchvision

    stages = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
    reference = torchvision.models.mobilenet_v2(num_classes=10, inverted_residual_setting=stages)
    reference.features[0][0].stride = (1, 1)
    model = mobilenetv2(3, 32, 10)
    model.load_state_dict(dict(zip(model.state_dict(), reference.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), reference.eval()(images))
