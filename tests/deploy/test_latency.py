"""In which runtime a stored model is timed, with what it is compared, and what is said where there is none."""

import copy
import sys

import pytest
import torch
from torch import nn

from effdl.deploy.latency import NOT_DEPLOYED, as_deployed, check_runtime
from effdl.deploy.onnx import to_onnx
from effdl.deploy.onnx_runtime import runtime_name
from effdl.nn.fake_quant import QuantGrid
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import UserError

SHAPE, CPU = (3, 16, 16), torch.device("cpu")


def of(model, grids=None, storage=None, dense=None, **how):
    how = {"channels_last": False} | how
    return as_deployed(model, dense, storage or {}, grids or {}, SHAPE, CPU, 1, **how)


@pytest.mark.parametrize(
    ("dtype", "runtime"),
    [(torch.float32, "pytorch-eager"), (torch.bfloat16, "pytorch-eager bf16"), (torch.float16, "pytorch-eager fp16")],
)
def test_float_models_run_in_eager_pytorch_in_their_dtype(float_model, dtype, runtime):
    model = float_model("lenet5").to(dtype)
    found = of(model)
    assert found["latency_runtime"] == runtime
    assert found["latency_ms"] > 0
    assert found["latency_note"] is None
    assert found["speedup"] is found["dense_latency_ms"] is None
    assert found["throughput_images_per_s"] > 0
    assert found["deployed_bytes"] == dtype.itemsize * sum(p.numel() for p in model.parameters())
    assert set(found) == set(NOT_DEPLOYED)


def test_a_float_model_takes_turns_with_the_dense_one_in_the_layout_of_the_training(float_model):
    model = float_model("resnet")
    found = of(copy.deepcopy(model).half(), dense=model, channels_last=True)
    assert (found["latency_runtime"], found["dense_latency_runtime"]) == ("pytorch-eager fp16", "pytorch-eager")
    assert found["latency_layout"] == "channels_last"
    assert found["latency_device"] == "cpu"
    assert found["speedup_low"] <= found["speedup"] <= found["speedup_high"]
    assert found["speedup_rounds"] >= 8
    assert found["speedup_resolution"] >= 1
    assert next(model.parameters()).is_contiguous()  # a copy was timed


def test_int8_models_run_in_onnx_runtime_on_integers(tmp_path, quantized_model, float_model):
    model, grids = quantized_model("lenet5")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = of(model, grids, dense=float_model("lenet5"))
    assert found["latency_runtime"] == f"{runtime_name()} int8 (3 of 4 layers)"
    assert found["dense_latency_runtime"] == f"{runtime_name()} fp32"
    assert found["latency_note"] is None
    assert 0 < found["latency_q1_ms"] <= found["latency_ms"] <= found["latency_q3_ms"]
    assert found["speedup_low"] <= found["speedup"] <= found["speedup_high"]
    assert found["latency_threads"] == 1
    assert found["latency_layout"] is None
    assert found["throughput_batch"] == 64
    assert found["deployed_bytes"] == to_onnx(model, grids, SHAPE, tmp_path / "again.onnx", "int8")
    assert set(found) == set(NOT_DEPLOYED)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, "fp32"), (torch.float16, "fp16")])
def test_with_runtime_onnx_float_models_run_there_too(tmp_path, float_model, dtype, precision):
    model = float_model("lenet5")
    found = of(copy.deepcopy(model).to(dtype), dense=model, runtime="onnx")
    assert found["latency_runtime"].startswith(runtime_name())
    assert found["dense_latency_runtime"] == f"{runtime_name()} fp32"
    assert found["latency_device"] == "cpu"
    assert found["latency_note"] is None
    path = tmp_path / "again.onnx"
    assert found["deployed_bytes"] == to_onnx(copy.deepcopy(model).to(dtype), {}, SHAPE, path, precision)
    assert set(found) == set(NOT_DEPLOYED)


def test_a_float_model_that_cannot_be_exported_is_not_timed(float_model):
    class Sorted(nn.Module):
        def forward(self, x):
            return x.flatten(1) if x.sum() > 0 else -x.flatten(1)

    model = nn.Sequential(nn.Conv2d(3, 3, 3), Sorted()).eval()
    found = of(model, runtime="onnx")
    expect_none(found, found["latency_note"])
    assert "cannot be exported to ONNX" in found["latency_note"]
    assert of(model)["latency_runtime"] == "pytorch-eager"


def test_a_runtime_that_is_not_installed_is_named(monkeypatch):
    check_runtime("eager")
    check_runtime("onnx")
    monkeypatch.setattr("effdl.deploy.latency.find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(
        UserError, match=r"device.runtime=onnx: onnxruntime is not installed: pip install 'effdl\[onnx\]'"
    ):
        check_runtime("onnx")


def test_the_label_is_what_ran():
    """ONNX Runtime computes a convolution in floats, if a batch norm is between it and the next quantizer."""
    quantizer, conv, scale = ActivationQuantizer(8, True), nn.Conv2d(3, 8, 3, bias=False), torch.tensor(0.01)
    quantizer.scale.data.fill_(0.02)
    conv.weight.data = (conv.weight / scale).round() * scale
    norm = nn.BatchNorm2d(8)
    norm.running_mean.normal_()
    model = nn.Sequential(quantizer, conv, norm, nn.ReLU(), copy.deepcopy(quantizer), nn.Flatten()).eval()
    assert of(model, {"1.weight": QuantGrid(scale, 8)})["latency_runtime"] == f"{runtime_name()} fp32"


def expect_none(found, note):
    assert found == NOT_DEPLOYED | {"latency_note": note}
    assert {"latency_ms", "latency_runtime", "speedup", "throughput_images_per_s", "deployed_bytes"} <= set(found)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_no_runtime_runs_few_bits(quantized_model, bits):
    model, grids = quantized_model("lenet5", max(bits, 2), activation_bits=4)
    grids = {name: QuantGrid(grid.scale, bits) for name, grid in grids.items()}
    expect_none(of(model, grids), f"no runtime here runs {bits}-bit weights")


def test_nor_8_bit_weights_with_float_or_4_bit_activations(float_model, quantized_model, sign_model):
    model, grids = quantized_model("lenet5", 8, activation_bits=4)
    expect_none(of(model, grids), "no runtime here runs 8-bit weights with 4-bit activations")
    some = {"0.weight": QuantGrid(torch.tensor(1.0), 8)}
    expect_none(of(float_model("lenet5"), some), "no runtime here runs 8-bit weights with float activations")
    expect_none(of(*sign_model), "no runtime here runs 1-bit weights")
    expect_none(of(sign_model[0]), "no runtime here runs float weights with 1-bit activations")


def test_nor_shared_weights(float_model):
    model = float_model("lenet5")
    stored = {name: {"kind": "dense palette", "bits": 4, "bytes": 1} for name in model.state_dict()}
    expect_none(of(model, storage=stored), "no runtime here runs weights that share values")
    by_chance = {"0.weight": {"kind": "dense palette", "bits": 8, "bytes": 1}}
    assert of(model, storage=by_chance)["latency_ms"] > 0


def test_without_onnxruntime_nothing_is_pretended(quantized_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    expect_none(of(*quantized_model("lenet5")), "ONNX Runtime is not installed: pip install 'effdl[onnx]'")
