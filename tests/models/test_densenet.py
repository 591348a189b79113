import pytest
import torch
from torch import nn

from effdl.models.densenet import densenet
from effdl.utils.errors import UserError


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("depth", "growth", "millions"), [(100, 12, 0.8), (250, 24, 15.3)])
def test_parameters_are_those_of_table_2(depth, growth, millions):
    assert parameters(densenet(3, 32, 10, depth=depth, growth=growth)) / 1e6 == pytest.approx(millions, rel=0.05)


def test_densenet_100_12_has_769162_parameters():
    assert parameters(densenet(3, 32, 10)) == 769_162


def test_computes_what_torchvision_does_with_a_small_stem():
    from torchvision.models import DenseNet

    reference = DenseNet(growth_rate=4, block_config=(3, 3, 3), num_init_features=8, bn_size=4, num_classes=10)
    reference.features.conv0 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(reference.features, name, nn.Identity())
    model = densenet(3, 16, 10, depth=22, growth=4)
    model.load_state_dict(dict(zip(model.state_dict(), reference.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), reference.eval()(images))


@pytest.mark.parametrize("depth", [4, 20, 101])
def test_impossible_depths_are_refused(depth):
    with pytest.raises(UserError, match=rf"model\.depth={depth}: .*6n\+4"):
        densenet(3, 32, 10, depth=depth)
