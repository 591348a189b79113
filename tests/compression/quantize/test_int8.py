"""8-bit models: what they compute, and that ONNX Runtime computes the same on integers."""

import copy
import math
from dataclasses import dataclass, field

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from effdl.compression.quantize.int8 import check_quantizable
from effdl.config.instantiate import instantiate
from effdl.config.options import config_folder
from effdl.config.validation import check_call
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.nn.layers import weights
from effdl.nn.mask import Mask
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import UserError

NODES = {
    name: yaml.safe_load((config_folder() / "compression" / f"{name}.yaml").read_text()) | {"level": "int8"}
    for name in ("int8", "int8_aware")
}


@dataclass
class SmallBench:
    """Noisy patterns, one for each of ten classes."""

    steps: int = 30
    asked: list = field(default_factory=list)

    def calibration_batches(self, count, batch_size=64):
        generator = torch.Generator().manual_seed(5)
        patterns = torch.randn(10, 1, 8, 8, generator=generator)
        labels = torch.randint(10, (count,), generator=generator)
        images = patterns[labels] + 0.8 * torch.randn(count, 1, 8, 8, generator=generator)
        return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))

    def fit(self, model, *, epochs, lr_scale, after_update):
        self.asked.append((epochs, lr_scale))
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=0.1 * lr_scale, momentum=0.9)
        model.train()
        for images, labels in self.calibration_batches(64 * self.steps)[: self.steps]:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            with torch.no_grad():
                after_update(model, 1.0)
        return model.eval()


@pytest.fixture(scope="module")
def dense():
    """A ResNet-8 of half the width that knows the patterns."""
    torch.manual_seed(0)
    model = resnet(1, 8, 10, depth=8, width=0.5)
    return SmallBench(steps=40).fit(model, epochs=None, lr_scale=0.5, after_update=lambda *_: None)


def quantized(model, name="int8", trainer=None, **keys):
    torch.manual_seed(0)
    return instantiate({**NODES[name], "images": 256, **keys})(copy.deepcopy(model), trainer or SmallBench())


def logits(model):
    images = torch.cat([images for images, _ in SmallBench().calibration_batches(500)])
    with torch.no_grad():
        return model(images)


def accuracy(model):
    labels = torch.cat([labels for _, labels in SmallBench().calibration_batches(500)])
    return (logits(model).argmax(1) == labels).double().mean().item()


def noise(model, dense):
    """Power of the change of the logits over that of the logits."""
    return ((logits(model) - logits(dense)).pow(2).mean() / logits(dense).var()).item()


def code_of(weight, grid):
    return (weight / grid.scale).round()


@pytest.mark.parametrize("name", NODES)
def test_the_shipped_values_are_valid(name):
    check_call(name, NODES[name], {"stage": str, "during": list[str] | None})


@pytest.mark.parametrize("name", NODES)
def test_all_weights_are_on_grids_and_all_norms_folded(dense, name):
    model = quantized(dense, name)
    materialized, found = materialize_parametrizations(model), quant_grids(model)
    names = [layer for layer, _, _ in weights(materialized)]
    assert list(found) == [f"{layer}.weight" for layer in names]
    assert len(names) == 8
    for key, grid in found.items():
        weight = materialized.get_parameter(key)
        codes = code_of(weight, grid)
        assert grid.bits == 7
        assert grid.scale.shape == (len(weight), *[1] * (weight.ndim - 1))
        assert torch.equal(codes * grid.scale, weight)
        assert codes.abs().max() <= 63
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert not model.training


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy", "mse"])
def test_accuracy_survives(dense, calibration):
    assert accuracy(dense) > 0.98
    model = quantized(dense, calibration=calibration)
    assert accuracy(model) > accuracy(dense) - 0.01
    assert noise(model, dense) < 0.01


def test_more_bits_and_more_scales_are_nearer_to_the_dense_model(dense):
    best = noise(quantized(dense, reduce_range=False), dense)
    assert best < noise(quantized(dense), dense)
    assert best < noise(quantized(dense, reduce_range=False, per_channel=False), dense)
    assert noise(quantized(dense, first_last=False), dense) < noise(quantized(dense), dense)


def test_first_and_last_layer_in_float(dense):
    model = quantized(dense, first_last=False)
    assert len(quant_grids(model)) == 6
    assert torch.equal(model[-1].weight, dense[-1].weight)


def test_one_scale_for_a_whole_weight(dense):
    assert all(grid.scale.shape == () for grid in quant_grids(quantized(dense, per_channel=False)).values())


@pytest.mark.parametrize("name", NODES)
def test_the_same_again(dense, name):
    first, second = quantized(dense, name).state_dict(), quantized(dense, name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NODES)
def test_pruned_weights_stay_zero(dense, name):
    sparse = copy.deepcopy(dense)
    keep = {}
    for layer, module, attribute in list(weights(sparse)):
        weight = getattr(module, attribute)
        keep[module.weight.shape] = weight.abs() > weight.abs().median()
        parametrize.register_parametrization(module, attribute, Mask(keep[module.weight.shape]))
        assert layer
    pruned = {id(module): getattr(module, attribute) == 0 for _, module, attribute in weights(sparse)}
    zeros = list(pruned.values())
    model = materialize_parametrizations(quantized(sparse, name))
    for (_, module, attribute), zero in zip(weights(model), zeros, strict=True):
        assert (getattr(module, attribute)[zero].view(torch.int32) == 0).all()


def test_training_repairs_what_quantizing_broke(dense):
    """Ranges that cut off two fifths of all values, from which training must find the way back."""
    keys = {"calibration": "percentile", "percentile": 60.0, "epochs": 3, "lr_scale": 0.2}
    before = quantized(dense, "int8_aware", SmallBench(steps=0), **keys)
    trainer = SmallBench(steps=40)
    after = quantized(dense, "int8_aware", trainer, **keys)
    assert trainer.asked == [(3, 0.2)]
    assert accuracy(before) < 0.9
    assert accuracy(after) > 0.97


@pytest.mark.parametrize("learn", [False, True])
def test_folding_after_training_keeps_the_function(dense, learn):
    """The model that was trained, with norms, and the one that comes out are the same."""
    seen = {}

    class Watching(SmallBench):
        def fit(self, model, **keys):
            trained = super().fit(model, **keys)
            seen["logits"], seen["norms"] = logits(trained), sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
            seen["codes"] = [code_of(m.weight, m.parametrizations.weight[-1].grid()) for _, m, _ in weights(model)]
            return trained

    model = quantized(dense, "int8_aware", Watching(steps=5), learn_scales=learn)
    assert seen["norms"] == 7
    change = logits(model) - seen["logits"]  # by the rounding of biases
    assert change.pow(2).mean() < 1e-3 * seen["logits"].var()
    for (key, grid), codes in zip(quant_grids(model).items(), seen["codes"], strict=True):
        assert torch.equal(code_of(materialize_parametrizations(model).get_parameter(key), grid).abs(), codes.abs())


def test_scales_are_learned_only_if_asked(dense):
    for learn in (False, True):
        model = quantized(dense, "int8_aware", SmallBench(steps=5), learn_scales=learn)
        start = quantized(dense, "int8_aware", SmallBench(steps=0), learn_scales=learn)
        scales = [[m.scale.item() for m in x.modules() if isinstance(m, ActivationQuantizer)] for x in (model, start)]
        assert (scales[0] == scales[1]) is not learn


def test_biases_are_integers_that_fit_32_bits():
    """A norm that makes one output's weights tiny, and leaves it a large bias."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)).eval()
    with torch.no_grad():
        model[1].weight[1], model[1].bias[1] = 1e-15, 2.0
    result = quantized(model)
    conv, quantizer = result[0].layer, result[0].input
    units = conv.bias.double() / (
        quantizer.scale.double() * quant_grids(result)["0.layer.weight"].scale.flatten().double()
    )
    assert units.abs().max() <= 2**30 * (1 + 1e-6)
    assert (units - units.round()).abs().max() < 1e-6 * units.abs().max()
    assert conv.bias[1].item() == pytest.approx(2.0)
    assert noise(result, model) < 1e-3


@pytest.mark.parametrize("name", NODES)
def test_outputs_that_a_norm_has_switched_off(dense, name):
    """Network slimming leaves norms with weight and bias zero."""
    slim = copy.deepcopy(dense)
    with torch.no_grad():
        slim[1].weight[:3], slim[1].bias[:3] = 0.0, 0.0
    model = quantized(slim, name, SmallBench(steps=0))
    assert torch.isfinite(logits(model)).all()
    assert noise(model, slim) < 0.01
    assert (materialize_parametrizations(model)[0].layer.weight[:3] == 0).all()


def test_nothing_to_quantize_is_refused_before_training():
    with pytest.raises(UserError, match="nothing to quantize among 0 "):
        check_quantizable(nn.Sequential(nn.Flatten()), first_last=True)
    with pytest.raises(UserError, match=r"compression\.int8\.first_last=true"):
        check_quantizable(mlp(1, 8, 10, hidden=[16]), first_last=False)
    check_quantizable(mlp(1, 8, 10, hidden=[16]), first_last=True)


def test_onnx_runtime_computes_the_same_on_integers(dense, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from effdl.deploy.onnx import to_onnx
    from effdl.deploy.onnx_runtime import kernels, ort_logits

    model, path = quantized(dense), tmp_path / "model.onnx"
    to_onnx(materialize_parametrizations(model), quant_grids(model), (1, 8, 8), path, "int8")
    ran = kernels(path, (1, 8, 8))
    assert ran["QLinearConv", "uint8"] == 7
    assert ran["Conv", "float"] == 0
    assert ran["QLinearAdd", "uint8"] >= 1
    mine, theirs = logits(model), ort_logits(path, SmallBench().calibration_batches(500))
    assert (mine.argmax(1) == theirs.argmax(1)).double().mean() >= 0.998
    assert (mine - theirs).abs().mean() < 0.01 * mine.std()
    assert math.isclose(F.mse_loss(theirs, logits(dense)), F.mse_loss(mine, logits(dense)), rel_tol=0.1)
