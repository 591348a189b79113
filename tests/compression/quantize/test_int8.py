"""8-bit models: what they compute, and that ONNX Runtime computes the same on integers."""

import copy
import math
from functools import partial
from statistics import geometric_mean

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.compression.quantize.int8 import check_quantizable
from effdl.data.loader import normalized_batches
from effdl.models.mlp import mlp
from effdl.nn.call_graph import CallGraph
from effdl.nn.fold import fold, foldable_norms
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.nn.quantizers import ActivationQuantizer
from effdl.training.optimizers import sgd
from effdl.utils.errors import UserError

NAMES = ("int8", "int8_aware")


@pytest.fixture
def trainer(make_trainer, noisy_patterns):
    """Nothing is trained but by ``trainer.batches = 40``."""
    return make_trainer(noisy_patterns, batch_size=64, optimizer=partial(sgd, lr=0.1, nesterov=False, weight_decay=0.0))


@pytest.fixture
def quantized(trainer, compress):
    """A copy of a model, quantized with what the shipped file says and what is given besides."""
    return lambda model, name="int8", **keys: compress(name, copy.deepcopy(model), trainer, "int8", images=256, **keys)


@pytest.fixture
def batches(noisy_patterns):
    """500 validation images as the model sees them."""
    return list(normalized_batches(noisy_patterns.val, noisy_patterns, 64, torch.device("cpu")))


@pytest.fixture
def logits(batches):
    """A model's, of the validation images."""

    @torch.no_grad()
    def run(model):
        return model(torch.cat([images for images, _ in batches]))

    return run


@pytest.fixture
def noise(logits):
    """Power of the change of the logits over that of the logits."""
    return lambda model, dense: ((logits(model) - logits(dense)).pow(2).mean() / logits(dense).var()).item()


def code_of(weight, grid):
    return (weight / grid.scale).round()


@pytest.mark.parametrize("name", NAMES)
def test_all_weights_are_on_grids_and_all_norms_folded(dense, name, quantized):
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
def test_accuracy_survives(dense, calibration, quantized, trainer, noise):
    assert trainer.accuracy(dense) > 0.98
    model = quantized(dense, calibration=calibration)
    assert trainer.accuracy(model) > trainer.accuracy(dense) - 0.01
    assert noise(model, dense) < 0.01


def test_more_bits_and_more_scales_round_the_weights_less(dense, quantized, batches):
    folded = copy.deepcopy(dense)
    for layer, norm in foldable_norms(CallGraph(folded, batches[0][0][:1])).items():
        fold(folded.get_submodule(layer), folded.get_submodule(norm))

    def errors(**keys):
        """Of each layer: the power of the change of its weights over that of the weights."""
        pairs = zip(weights(folded), weights(materialize_parametrizations(quantized(dense, **keys))), strict=True)
        return [
            ((b.weight - a.weight).square().sum() / a.weight.square().sum()).item() for (_, a, _), (_, b, _) in pairs
        ]

    seven = errors()
    assert sum(seven) / sum(errors(reduce_range=False)) == pytest.approx((127 / 63) ** 2, rel=0.1)
    assert all(own < shared for own, shared in zip(seven, errors(per_channel=False), strict=True))
    assert errors(first_last=False) == [0, *seven[1:-1], 0]


def test_first_and_last_layer_in_float(dense, quantized):
    model = quantized(dense, first_last=False)
    assert len(quant_grids(model)) == 6
    assert torch.equal(model[-1].weight, dense[-1].weight)


def test_one_scale_for_a_whole_weight(dense, quantized):
    assert all(grid.scale.shape == () for grid in quant_grids(quantized(dense, per_channel=False)).values())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again(dense, name, quantized):
    first, second = quantized(dense, name).state_dict(), quantized(dense, name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", NAMES)
def test_pruned_weights_stay_zero(pruned, name, quantized):
    sparse, zeros = pruned
    model = materialize_parametrizations(quantized(sparse, name))
    for (_, module, attribute), zero in zip(weights(model), zeros, strict=True):
        assert (getattr(module, attribute)[zero].view(torch.int32) == 0).all()


def test_training_repairs_what_quantizing_broke(dense, quantized, trainer):
    """Ranges that cut off a fifth of all values, from which learned scales find the way back."""

    def mean_scale(model):
        """Of the activations."""
        return geometric_mean(m.scale.item() for m in model.modules() if isinstance(m, ActivationQuantizer))

    keys = {"calibration": "percentile", "percentile": 80.0, "epochs": 6, "lr_scale": 0.05}
    before = quantized(dense, "int8_aware", **keys)
    trainer.batches = 10
    after = quantized(dense, "int8_aware", **keys)
    assert trainer.asked == [(6, 0.05, 0)] * 2
    assert trainer.accuracy(before) < 0.9
    assert trainer.accuracy(after) > trainer.accuracy(dense) - 0.02
    assert mean_scale(after) > 1.5 * mean_scale(before)


@pytest.mark.parametrize("learn", [False, True])
def test_folding_after_training_keeps_the_function(dense, learn, quantized, trainer, logits):
    """The model that was trained, with norms, and the one that comes out are the same."""
    seen = {}

    def look(model, progress):
        trained = copy.deepcopy(model).eval()
        seen["logits"], seen["norms"] = logits(trained), sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        seen["codes"] = [code_of(m.weight, m.parametrizations.weight[-1].grid()) for _, m, _ in weights(trained)]

    trainer.batches = 5
    trainer.looks.append(look)
    model = quantized(dense, "int8_aware", learn_scales=learn, epochs=1)
    assert seen["norms"] == 7
    change = logits(model) - seen["logits"]  # by the rounding of biases
    assert change.pow(2).mean() < 1e-3 * seen["logits"].var()
    for (key, grid), codes in zip(quant_grids(model).items(), seen["codes"], strict=True):
        assert torch.equal(code_of(materialize_parametrizations(model).get_parameter(key), grid).abs(), codes.abs())


@pytest.mark.parametrize("learn", [False, True])
def test_scales_are_learned_only_if_asked(dense, learn, quantized, trainer):
    scales = []
    for trainer.batches in (0, 5):
        model = quantized(dense, "int8_aware", learn_scales=learn, epochs=1)
        scales.append([m.scale.item() for m in model.modules() if isinstance(m, ActivationQuantizer)])
    assert (scales[0] == scales[1]) is not learn


def test_biases_are_integers_that_fit_32_bits(quantized, noise):
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


@pytest.mark.parametrize("name", NAMES)
def test_outputs_that_a_norm_has_switched_off(dense, name, quantized, logits, noise):
    """Network slimming leaves norms with weight and bias zero."""
    slim = copy.deepcopy(dense)
    with torch.no_grad():
        slim[1].weight[:3], slim[1].bias[:3] = 0.0, 0.0
    model = quantized(slim, name)
    assert torch.isfinite(logits(model)).all()
    assert noise(model, slim) < 0.01
    assert (materialize_parametrizations(model)[0].layer.weight[:3] == 0).all()


def test_nothing_to_quantize_is_refused_before_training():
    with pytest.raises(UserError, match="nothing to quantize among 0 "):
        check_quantizable(nn.Sequential(nn.Flatten()), first_last=True, input_shape=(1, 8, 8))
    with pytest.raises(UserError, match=r"compression\.int8\.first_last=true"):
        check_quantizable(mlp(1, 8, 10, hidden=[16]), first_last=False, input_shape=(1, 8, 8))
    check_quantizable(mlp(1, 8, 10, hidden=[16]), first_last=True, input_shape=(1, 8, 8))


def test_onnx_runtime_computes_the_same_on_integers(dense, tmp_path, quantized, batches, logits):
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
    mine, theirs = logits(model), ort_logits(path, batches)
    assert (mine.argmax(1) == theirs.argmax(1)).double().mean() >= 0.998
    assert (mine - theirs).abs().mean() < 0.01 * mine.std()
    assert math.isclose(F.mse_loss(theirs, logits(dense)), F.mse_loss(mine, logits(dense)), rel_tol=0.1)
