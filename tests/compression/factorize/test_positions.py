"""How often weights are multiplied: counted by hand, and the sum by the run's own measure."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.compression.factorize.positions import Positions, trace
from effdl.measure.macs import macs
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet
from effdl.models.vit import vit


def test_positions_are_pixels_or_rows():
    convolution, linear = nn.Conv2d(3, 5, (3, 5), stride=(2, 1), padding=(1, 0)), nn.Linear(4, 2)
    model = nn.Sequential(convolution, nn.ReLU(), linear).eval()
    total, found = trace(model, (3, 6, 8))
    assert found == {
        convolution: Positions(inputs=48, between=3 * 8, outputs=3 * 4),
        linear: Positions(inputs=5 * 3, between=0, outputs=5 * 3),
    }
    assert total == 12 * 5 * 3 * 15 + 15 * 8


@pytest.mark.parametrize("make", [resnet, mobilenetv2, vit])
def test_the_total_is_that_of_the_measure(make):
    model = make(3, 16, 10).eval()
    total, _ = trace(model, (3, 16, 16))
    assert total == macs(model, (3, 16, 16))["macs"]


@pytest.mark.parametrize(
    ("layer", "shape", "positions"),
    [
        (nn.Conv2d(6, 4, 3, stride=(2, 1)), (6, 9, 8), Positions(72, 4 * 8, 4 * 6)),
        (nn.Conv2d(6, 4, 3, padding=1), (6, 5, 5), Positions(25, 25, 25)),
        (nn.Linear(10, 7), (2, 3, 10), Positions(6, 0, 6)),
    ],
)
def test_positions_by_hand(layer, shape, positions):
    assert trace(layer.eval(), shape) == (layer.weight.numel() * positions.outputs, {layer: positions})


class Twice(nn.Module):
    """Uses a layer twice, and another one's weight without calling it."""

    def __init__(self):
        super().__init__()
        self.used, self.read = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return nn.functional.linear(self.used(self.used(x)), self.read.weight)


def test_calls_are_summed_and_layers_that_are_not_called_left_out():
    model = Twice().eval()
    total, found = trace(model, (1, 3, 4))
    assert found == {model.used: Positions(inputs=6, between=0, outputs=6)}
    assert total == 3 * 3 * 16


def test_only_plain_layers_are_found():
    class Own(nn.Linear):
        pass

    masked = nn.Linear(4, 4)
    parametrize.register_parametrization(masked, "weight", nn.Identity())
    grouped, plain = nn.Conv2d(2, 4, 1, groups=2), nn.Conv2d(4, 2, 1)
    attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.Sequential(grouped, plain, Own(4, 4), masked, nn.Flatten(1, 2), attention).eval()
    _, found = trace(model, (2, 5, 4))
    assert list(found) == [plain, attention.linear1, attention.linear2]


def test_the_model_is_left_as_it_was():
    model = resnet(1, 8, 10).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    trace(model, (1, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())
    assert not model.training
