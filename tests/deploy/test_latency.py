"""Which runtime a stored model's latency comes from, and what is said where there is none."""

import sys

import pytest
import torch

from effdl.deploy.latency import deployed_latency
from effdl.nn.fake_quant import QuantGrid

SHAPE, CPU = (3, 16, 16), torch.device("cpu")


def of(tmp_path, model, grids=None, storage=None):
    return deployed_latency(tmp_path / "model.safetensors", model, storage or {}, grids or {}, SHAPE, CPU, 1)


@pytest.mark.parametrize(
    ("dtype", "runtime"),
    [(torch.float32, "pytorch-eager"), (torch.bfloat16, "pytorch-eager bf16"), (torch.float16, "pytorch-eager fp16")],
)
def test_float_models_run_in_eager_pytorch_in_their_dtype(tmp_path, float_model, dtype, runtime):
    found = of(tmp_path, float_model("lenet5").to(dtype))
    assert found["latency_runtime"] == runtime
    assert found["latency_ms"] > 0
    assert found["latency_note"] is None


def test_int8_models_run_in_onnx_runtime_on_integers(tmp_path, quantized_model):
    model, grids = quantized_model("lenet5")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = of(tmp_path, model, grids)
    assert found["latency_runtime"].startswith("ONNX Runtime ")
    assert found["latency_runtime"].endswith(" int8")
    assert found["latency_note"] == "3 of 4 layers in int8, 1 of 4 layers in fp32"
    assert 0 < found["latency_q1_ms"] <= found["latency_ms"] <= found["latency_q3_ms"]
    assert found["latency_threads"] == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def expect_none(found, note):
    assert found["latency_note"] == note
    assert {value for key, value in found.items() if key != "latency_note"} == {None}
    assert {"latency_ms", "latency_q1_ms", "latency_q3_ms", "latency_runtime", "latency_threads"} <= set(found)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_no_runtime_runs_few_bits(tmp_path, quantized_model, bits):
    model, grids = quantized_model("lenet5", max(bits, 2), activation_bits=4)
    grids = {name: QuantGrid(grid.scale, bits) for name, grid in grids.items()}
    expect_none(of(tmp_path, model, grids), f"no runtime here runs {bits}-bit weights")


def test_nor_8_bit_weights_with_float_or_4_bit_activations(tmp_path, float_model, quantized_model):
    model, grids = quantized_model("lenet5", 8, activation_bits=4)
    expect_none(of(tmp_path, model, grids), "no runtime here runs 8-bit weights with 4-bit activations")
    some = {"0.weight": QuantGrid(torch.tensor(1.0), 8)}
    expect_none(of(tmp_path, float_model("lenet5"), some), "no runtime here runs 8-bit weights with float activations")


def test_nor_shared_weights(tmp_path, float_model):
    model = float_model("lenet5")
    stored = {name: {"kind": "dense palette", "bits": 4, "bytes": 1} for name in model.state_dict()}
    expect_none(of(tmp_path, model, storage=stored), "no runtime here runs weights that share values")
    by_chance = {"0.weight": {"kind": "dense palette", "bits": 8, "bytes": 1}}
    assert of(tmp_path, model, storage=by_chance)["latency_ms"] > 0


def test_without_onnxruntime_nothing_is_pretended(tmp_path, quantized_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    expect_none(of(tmp_path, *quantized_model("lenet5")), "ONNX Runtime is not installed: pip install 'effdl[onnx]'")
