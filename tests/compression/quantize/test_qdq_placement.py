"""Where activations are quantized."""

import json

import pytest
import torch
from torch import nn

from effdl.compression.quantize.qdq_placement import insert_quantizers
from effdl.models.convnet import convnet
from effdl.models.densenet import densenet
from effdl.models.lenet5 import lenet5
from effdl.models.mlp import mlp
from effdl.models.mobilenet import mobilenet
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet
from effdl.models.structure import apply, changes
from effdl.models.torchvision import torchvision
from effdl.models.vgg import vgg
from effdl.models.vit import vit
from effdl.nn.call_graph import CallGraph
from effdl.nn.fold import foldable_norms
from effdl.nn.quantizers import ActivationQuantizer

FAMILIES = {
    "resnet": lambda: resnet(3, 32, 10, depth=8),
    "vgg": lambda: vgg(3, 32, 10, width=0.125),
    "mobilenet": lambda: mobilenet(3, 32, 10, width=0.25),
    "mobilenetv2": lambda: mobilenetv2(3, 32, 10, width=0.25),
    "lenet5": lambda: lenet5(3, 32, 10),
    "mlp": lambda: mlp(3, 32, 10),
    "convnet": lambda: convnet(3, 32, 10),
    "densenet": lambda: densenet(3, 32, 10, depth=10, growth=4),
    "vit": lambda: vit(3, 32, 10, depth=1, dim=24),
    "torchvision resnet18": lambda: torchvision(3, 32, 10, name="resnet18"),
    "torchvision mobilenet_v3_small": lambda: torchvision(3, 32, 10, name="mobilenet_v3_small"),
}


def inserted(model, images, first_last=True):
    flow = CallGraph(model.eval(), images)
    return insert_quantizers(flow, model, foldable_norms(flow), first_last)


def quantizers(model):
    return [name for name, module in model.named_modules() if isinstance(module, ActivationQuantizer)]


def test_the_sites_of_a_residual_network():
    """The image, what each convolution and its ReLU give, what ends a branch, and the sum after its ReLU."""
    model = resnet(1, 8, 10, depth=8)
    inserted(model, torch.randn(1, 1, 8, 8))
    blocks = [f"{block}.{site}.output" for block in (3, 4, 5) for site in ("relu1", "bn2", "relu2")]
    assert quantizers(model) == ["0.input", "2.output", *blocks, "6.output"]


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_every_layer_reads_the_values_of_its_quantizer(make):
    torch.manual_seed(0)
    model, images = make(), torch.randn(2, 3, 32, 32)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found = inserted(model, images)
    assert {quantized.layer for quantized in found} == set(layers)
    marked = {}
    for number, quantizer in enumerate(m for m in model.modules() if isinstance(m, ActivationQuantizer)):
        with torch.no_grad():
            quantizer.scale.fill_(1 + number / 1024)  # a grid that no other quantizer has
        marked[quantizer] = quantizer.scale.item()
    seen = set()

    def look(layer, arguments):
        codes = arguments[0] / marked[sources[layer]]
        assert torch.equal(codes.round() * marked[sources[layer]], arguments[0])
        seen.add(layer)

    sources = {quantized.layer: quantized.input for quantized in found}
    for layer in layers:
        layer.register_forward_pre_hook(look)
    assert torch.isfinite(model(images)).all()
    assert seen == set(layers)


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_the_structure_can_be_stored(make):
    model, images = make(), torch.randn(1, 3, 32, 32)
    inserted(model, images)
    again = apply(make(), json.loads(json.dumps(changes(model, make()))))
    again.load_state_dict(model.state_dict())
    assert quantizers(again) == quantizers(model)
    assert torch.equal(again.eval()(images), model(images))


def test_without_the_first_and_the_last_layer():
    model = resnet(1, 8, 10, depth=8)
    first, last = model[0], model[-1]
    found = [quantized.layer for quantized in inserted(model, torch.randn(1, 1, 8, 8), first_last=False)]
    assert len(found) == 6
    assert first not in found
    assert last not in found
    assert "0.input" not in quantizers(model)
    assert "2.output" in quantizers(model)  # what the second convolution reads


def test_a_layer_that_is_called_twice_stays_in_float():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(self.shared(self.shared(x).relu()).relu())

    model = Twice()
    found = inserted(model, torch.randn(2, 4))
    assert [quantized.layer for quantized in found] == [model.last.layer]
    assert quantizers(model) == ["last.input"]


def test_a_function_between_layers_is_quantized_where_it_is_read():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            return self.other(torch.relu(self.conv(x))).mean((2, 3))

    model = Functional()
    inserted(model, torch.randn(1, 3, 8, 8))
    assert quantizers(model) == ["conv.input", "conv.output", "other.input", "other.output"]
