"""Spatially separable convolutions as a step."""

import pytest
import torch
from torch import nn

from effdl.compression.factorize.spatial import spatial
from effdl.compression.method import kind_of
from effdl.models.convnet import convnet

OPTIONS = {"level": 0.5, "by": "macs", "rank": None, "exclude": [], "epochs": None, "lr_scale": 0.2}


@pytest.fixture
def step(make_trainer):
    """Factorize with `OPTIONS` and what is given besides, without training."""

    def run(model, shape, **options):
        trainer = make_trainer(shape=shape)
        model = spatial(model.eval(), trainer, **{**OPTIONS, **options})
        assert trainer.asked == [(3, 0.2, 0)]  # half of the run's six epochs
        return model

    return run


def test_only_square_windows_become_columns_and_rows(step):
    model = step(convnet(1, 28, 10), (1, 28, 28), by="ratio", level=0.6)
    assert [part.kernel_size for part in model[3]] == [(5, 1), (1, 5)]
    assert [part.out_channels for part in model[3]] == [64, 64]  # 0.4 of min(32 x 5, 64 x 5)
    assert isinstance(model[7], nn.Linear)
    assert kind_of(spatial) == "structure"


def test_a_window_of_one_row_is_left_alone(step):
    model = step(nn.Sequential(nn.Conv2d(8, 8, (1, 3)), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3)), (8, 6, 6), rank=2)
    assert [type(layer) for layer in model] == [nn.Conv2d, nn.Conv2d, nn.Sequential]


@pytest.mark.parametrize("image", [(4, 12, 12), (4, 9, 14)])
def test_separable_filters_are_found_exactly(image, step):
    """Sobel's edge detectors are a smoothing column times a difference row, and the other way round: rank 2."""
    layer = nn.Conv2d(4, 2, 3, padding=1)
    smooth, difference = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0])
    edges = torch.stack([torch.outer(smooth, difference), torch.outer(difference, smooth)])
    x = torch.randn(2, *image)
    with torch.no_grad():
        layer.weight.copy_(edges[:, None] * torch.randn(4)[:, None, None])
        expected = layer(x)
        model = step(nn.Sequential(layer), image)  # half of the MACs is rank 2
        assert [tuple(part.weight.shape) for part in model[0]] == [(2, 4, 3, 1), (2, 2, 1, 3)]
        torch.testing.assert_close(model(x), expected)
