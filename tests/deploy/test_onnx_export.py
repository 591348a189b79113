"""ONNX files by what ONNX and ONNX Runtime make of them."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from effdl.deploy.onnx import to_onnx
from effdl.deploy.onnx_runtime import describe_arithmetic, kernels
from effdl.deploy.qdq import fits_int8
from effdl.nn.fake_quant import QuantGrid
from effdl.utils.errors import RunError, UserError

SHAPE = (3, 16, 16)


def run(path, images):
    """The file with onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(node.name, node.type) for node in session.get_inputs()] == [("images", "tensor(float)")]
    assert [(node.name, node.type) for node in session.get_outputs()] == [("logits", "tensor(float)")]
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


@pytest.mark.parametrize(
    ("name", "precision", "tolerance"), [("lenet5", "fp16", 1e-2), ("resnet", "fp32", 1e-5), ("resnet", "fp16", 1e-2)]
)
def test_a_float_model_gives_the_same_logits_for_1_and_7(tmp_path, float_model, images, name, precision, tolerance):
    model, path = float_model(name), tmp_path / "model.onnx"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    size = to_onnx(model, {}, SHAPE, path, precision)
    assert size == path.stat().st_size
    bits = 16 if precision == "fp16" else 32
    assert size == pytest.approx(bits / 8 * sum(value.numel() for value in model.parameters()), rel=0.1)
    with torch.no_grad():
        expected = model(images)
    assert run(path, images).sub(expected).abs().max() <= tolerance * expected.abs().max()
    assert run(path, images[:1]).sub(expected[:1]).abs().max() <= tolerance * expected.abs().max()
    for key, value in model.state_dict().items():
        assert value.dtype == before[key].dtype, key
        assert torch.equal(value, before[key]), key


def test_a_half_precision_model_can_be_written_in_float32(tmp_path, float_model, images):
    model = float_model("lenet5").to(torch.bfloat16)
    to_onnx(model, {}, SHAPE, tmp_path / "model.onnx", "fp32")
    with torch.no_grad():
        expected = model.float()(images)
    assert run(tmp_path / "model.onnx", images).sub(expected).abs().max() <= 1e-5


# 7 bits at most: processors without VNNI saturate sums of two products of 8-bit weights
@pytest.mark.parametrize(("name", "bits", "layers"), [("lenet5", 7, 4), ("resnet", 7, 8), ("lenet5", 4, 4)])
def test_no_layer_of_an_int8_model_but_the_last_runs_in_float(tmp_path, quantized_model, images, name, bits, layers):
    model, grids = quantized_model(name, bits)
    assert len(grids) == layers
    path = tmp_path / "model.onnx"
    to_onnx(model, grids, SHAPE, path, "int8")
    ran = kernels(path, SHAPE)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert ran["QLinearConv", "uint8"] == convolutions
    assert ran["QGemm", "uint8"] == layers - convolutions - 1  # the last one's outputs are not quantized
    assert describe_arithmetic(ran) == f"{layers - 1} of {layers} layers in int8, 1 of {layers} layers in fp32"
    if name == "resnet":
        assert ran["QLinearAdd", "uint8"] >= 1  # the first shortcut; the others pad channels, in float
    with torch.no_grad():
        expected = model(images)
    for batch in (images, images[:1]):  # a value on the border of two codes may fall to either side
        assert run(path, batch).sub(expected[: len(batch)]).abs().max() <= 0.05 * expected.abs().max()


def test_int8_weights_are_the_codes_and_scales_exactly(tmp_path, quantized_model):
    model, grids = quantized_model("lenet5", 8)
    to_onnx(model, grids, SHAPE, tmp_path / "model.onnx", "int8")
    proto = onnx.load(tmp_path / "model.onnx")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = {}
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and arrays.get(node.input[0], np.empty(0)).dtype == np.int8:
            assert [(a.name, a.i) for a in node.attribute] == [("axis", 0)]
            codes, scale = (arrays[name] for name in node.input[:2])
            weights[node.input[0]] = codes * scale.reshape(-1, *[1] * (codes.ndim - 1))
    expected = [model.get_parameter(name).detach().numpy() for name in grids]
    assert len(weights) == len(expected)
    for value, wanted in zip(weights.values(), expected, strict=True):
        assert value.dtype == np.float32
        assert np.array_equal(value, wanted)
    floats = sum(array.size for array in arrays.values() if array.dtype == np.float32)
    assert floats < 0.02 * sum(value.size for value in weights.values())  # biases and scales


def test_activations_become_uint8_with_the_same_values(tmp_path, quantized_model):
    model, grids = quantized_model("lenet5")
    to_onnx(model, grids, SHAPE, tmp_path / "model.onnx", "int8")
    proto = onnx.load(tmp_path / "model.onnx")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    first = next(node for node in proto.graph.node if node.op_type == "QuantizeLinear")
    scale, zero_point = (arrays[name] for name in first.input[1:])
    assert zero_point.dtype == np.uint8
    assert zero_point == 128  # -0.5 rounded to 0, plus 128
    assert scale == pytest.approx(6 / 255)


def test_the_file_tells_what_it_is_and_nothing_of_the_machine(onnx_file):
    proto = onnx.load(onnx_file)
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"effdl": "{}", "mean": "[1.0]"}
    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    assert b".py" not in onnx_file.read_bytes()


def test_fewer_activation_bits_are_not_called_int8_but_computed_in_float(tmp_path, quantized_model, images):
    model, grids = quantized_model("lenet5", 8, activation_bits=4)
    assert not fits_int8(model, grids)
    with pytest.raises(UserError, match=r"precision=int8: .* quantize=int8"):
        to_onnx(model, grids, SHAPE, tmp_path / "model.onnx", "int8")
    assert list(tmp_path.iterdir()) == []
    to_onnx(model, grids, SHAPE, tmp_path / "model.onnx", "fp32")
    with torch.no_grad():
        expected = model(images)
    assert run(tmp_path / "model.onnx", images).sub(expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_precision_that_does_not_fit_is_refused_with_the_command_that_helps(
    tmp_path, float_model, quantized_model, sign_model
):
    with pytest.raises(UserError, match=r"precision=int8: .*effdl train \.\.\. quantize=int8"):
        to_onnx(float_model("lenet5"), {}, SHAPE, tmp_path / "model.onnx", "int8")
    with pytest.raises(UserError, match=r"precision=fp16: .* quantize=fp16"):
        to_onnx(*quantized_model("lenet5"), SHAPE, tmp_path / "model.onnx", "fp16")
    with pytest.raises(UserError, match=r"precision=fp16: .* quantize=fp16"):
        to_onnx(*sign_model, SHAPE, tmp_path / "model.onnx", "fp16")


def test_weights_off_their_grid_are_refused(tmp_path, quantized_model):
    model, grids = quantized_model("lenet5")
    name = next(iter(grids))
    wrong = {**grids, name: QuantGrid(grids[name].scale * 1.01, 8)}
    with pytest.raises(RunError, match=f"{name}: its values are not the 8-bit codes"):
        to_onnx(model, wrong, SHAPE, tmp_path / "model.onnx", "int8")


def test_a_scale_for_the_whole_tensor_is_written_too(tmp_path, quantized_model, images):
    model, grids = quantized_model("lenet5")
    name = next(iter(grids))
    weight = model.get_parameter(name)
    scale = weight.data.abs().max() / 63
    weight.data = (weight.data / scale).round() * scale
    to_onnx(model, {**grids, name: QuantGrid(scale, 8)}, SHAPE, tmp_path / "model.onnx", "int8")
    with torch.no_grad():
        expected = model(images)
    assert run(tmp_path / "model.onnx", images).sub(expected).abs().max() <= 0.05 * expected.abs().max()
    assert describe_arithmetic(kernels(tmp_path / "model.onnx", SHAPE)).startswith("3 of 4 layers in int8")


def test_a_model_that_cannot_be_traced_is_one_message(tmp_path):
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(RunError, match="cannot be exported to ONNX"):
        to_onnx(Branch(), {}, SHAPE, tmp_path / "model.onnx", "fp32")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_the_message_says_what_to_install(tmp_path, float_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'effdl\[onnx\]'"):
        to_onnx(float_model("lenet5"), {}, SHAPE, tmp_path / "model.onnx", "fp32")


def test_signs_are_computed_in_floats(tmp_path, sign_model, images):
    (model, grids), path = sign_model, tmp_path / "model.onnx"
    assert not fits_int8(model, grids)
    to_onnx(model, grids, SHAPE, path, "fp32")
    with torch.no_grad():
        for batch in (images, images[:1]):
            assert torch.allclose(run(path, batch), model(batch), atol=1e-5)
    assert {kind for (operator, kind) in kernels(path, SHAPE) if operator in ("Conv", "Gemm", "MatMul")} == {"float"}
    with pytest.raises(UserError, match="precision=int8: "):
        to_onnx(model, grids, SHAPE, path, "int8")
