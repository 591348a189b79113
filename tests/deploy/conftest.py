"""Models as int8 quantization leaves them, made by hand; and models of a few bits."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from effdl.deploy.onnx import to_onnx
from effdl.models import storage
from effdl.models.lenet5 import lenet5
from effdl.models.resnet import BasicBlock, resnet
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.quantizers import ActivationQuantizer, ActivationSign
from effdl.nn.token_norm import TokenNorm


@pytest.fixture(autouse=True)
def hurried():
    """Times are measured with the budgets that runs have."""


CONFIGS = {
    "lenet5": {"_target_": "effdl.models.lenet5.lenet5", "dropout": 0.0},
    "resnet": {"_target_": "effdl.models.resnet.resnet", "depth": 8, "width": 1.0, "dropout": 0.0},
}


def quantizer(low: float, high: float, signed: bool, bits: int = 8) -> ActivationQuantizer:
    """A quantizer whose codes cover [low, high]."""
    made = ActivationQuantizer(bits, signed)
    scale = (high - low) / (2**bits - 1)
    made.scale.data.fill_(scale)
    made.zero_point.fill_(round(-low / scale) - (1 << bits - 1 if signed else 0))
    return made


def on_grid(model: nn.Module, bits: int) -> dict[str, QuantGrid]:
    """Round the weights of all layers to codes, per output; returns their grids."""
    grids = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.data
            largest = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.dim() - 1))
            scale = largest / max(2 ** (bits - 1) - 1, 1)
            module.weight.data = (weight / scale).round() * scale
            grids[f"{name}.weight"] = QuantGrid(scale, bits)
    return grids


def lenet5_int8(model: nn.Module, activation_bits: int) -> nn.Module:
    """Quantizers before, between and behind the convolutions and linear layers."""
    parts = [quantizer(-3, 3, True, activation_bits)]
    for layer in model:
        parts.append(layer)
        if isinstance(layer, nn.Conv2d):
            parts.append(quantizer(-4, 4, True, activation_bits))
        elif isinstance(layer, nn.ReLU):
            parts.append(quantizer(0, 4, False, activation_bits))
    return nn.Sequential(*parts)


def resnet_int8(model: nn.Module, activation_bits: int) -> nn.Module:
    """Batch norm folded; quantizers behind every ReLU and where both summands of a shortcut are."""
    layers = list(model)
    layers[0], layers[1] = fuse_conv_bn_eval(layers[0], layers[1]), nn.Identity()
    layers[2] = nn.Sequential(layers[2], quantizer(0, 6, False, activation_bits))
    for block in layers:
        if isinstance(block, BasicBlock):
            block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
            block.conv2 = fuse_conv_bn_eval(block.conv2, block.bn2)
            block.bn2 = quantizer(-6, 6, True, activation_bits)
            block.relu1 = nn.Sequential(block.relu1, quantizer(0, 6, False, activation_bits))
            block.relu2 = nn.Sequential(block.relu2, quantizer(0, 6, False, activation_bits))
    return nn.Sequential(quantizer(-3, 3, True, activation_bits), *layers)


@pytest.fixture(scope="session")
def float_model() -> Callable[[str], nn.Module]:
    """A model by its name, 3x16x16 images, with batch norms that do something."""

    def make(name: str) -> nn.Module:
        torch.manual_seed(0)
        model = lenet5(3, 16, 10) if name == "lenet5" else resnet(3, 16, 10, depth=8)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def quantized_model(float_model) -> Callable[..., tuple[nn.Module, dict[str, QuantGrid]]]:
    """The same, quantized, and its grids."""

    def make(name: str, bits: int = 7, activation_bits: int = 8) -> tuple[nn.Module, dict[str, QuantGrid]]:
        quantize = lenet5_int8 if name == "lenet5" else resnet_int8
        model = quantize(copy.deepcopy(float_model(name)), activation_bits).eval()
        return model, on_grid(model, bits)

    return make


@pytest.fixture(scope="session")
def sign_model() -> tuple[nn.Module, dict[str, QuantGrid]]:
    """A model of binary weights whose layers behind the first take signs, also of tokens, and its grids."""
    torch.manual_seed(0)
    conv = nn.Sequential(nn.BatchNorm2d(8), ActivationSign(), nn.Conv2d(8, 8, 3, 2, padding=1))
    tokens = [nn.Flatten(2), nn.Sequential(TokenNorm(64), ActivationSign(), nn.Linear(64, 16))]
    head = nn.Sequential(nn.BatchNorm1d(128), ActivationSign(), nn.Linear(128, 10))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), conv, nn.ReLU(), *tokens, nn.Flatten(), head)
    with torch.no_grad():
        model(torch.randn(64, 3, 16, 16))  # statistics
    grids = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = torch.where(module.weight > 0, 0.1, -0.1)
            grids[f"{name}.weight"] = QuantGrid(torch.tensor(0.1), 1)
    return model.eval(), grids


@pytest.fixture
def images() -> Tensor:
    """Seven normalized images."""
    return torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def stored_model(tmp_path, float_model):
    """A float LeNet-5 in a file."""
    path = tmp_path / "model.safetensors"
    description = {"stage": "dense", "config": CONFIGS["lenet5"], "channels": 3, "image_size": 16, "classes": 10}
    storage.write(path, float_model("lenet5").state_dict(), description)
    return path


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory, float_model):
    """The float LeNet-5 as ONNX, with metadata."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(float_model("lenet5"), {}, (3, 16, 16), path, "fp32", {"effdl": "{}", "mean": "[1.0]"})
    return path
