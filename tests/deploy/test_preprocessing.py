"""Normalization and softmax as parts of a model, and what an exported file says of its images and classes."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from effdl.data.inputs import Inputs
from effdl.deploy.onnx import to_onnx
from effdl.deploy.onnx_runtime import describe_arithmetic, kernels
from effdl.deploy.preprocessing import WithPreprocessing, metadata_of, read_metadata
from effdl.utils.errors import UserError

SHAPE = (3, 16, 16)
CLASSES = tuple(f"class {number}" for number in range(10))
INPUTS = Inputs(CLASSES, 3, 16, (120.0, 110.5, 99.9), (60.0, 61.5, 70.25), 0.875, True, {"floats": (-1.0, 2.5)})


@pytest.fixture
def pixels():
    return torch.randint(256, (7, *SHAPE), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def probabilities(model, pixels):
    """What a model gives, by NumPy in double precision around it."""
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (INPUTS.mean, INPUTS.std))
    images = torch.from_numpy((pixels.numpy() - mean) / std)
    with torch.no_grad():
        logits = model(images.to(next(model.parameters()).dtype)).double().numpy()
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return torch.from_numpy(exponents / exponents.sum(axis=1, keepdims=True)).float()


def test_pixels_become_probabilities(float_model, pixels):
    model = float_model("resnet")
    with torch.no_grad():
        found = WithPreprocessing(model, INPUTS)(pixels)
    torch.testing.assert_close(found, probabilities(model, pixels), rtol=1e-4, atol=1e-6)


def run(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(node.name, node.type) for node in session.get_inputs()] == [("pixels", "tensor(uint8)")]
    assert [(node.name, node.type) for node in session.get_outputs()] == [("probabilities", "tensor(float)")]
    return torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-2)])
def test_an_onnx_file_of_1_and_7_images(tmp_path, float_model, pixels, precision, tolerance):
    model, path = float_model("resnet"), tmp_path / "model.onnx"
    to_onnx(model, {}, SHAPE, path, precision, preprocessing=INPUTS)
    expected = probabilities(model, pixels)
    torch.testing.assert_close(run(path, pixels), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(run(path, pixels[:1]), expected[:1], rtol=0, atol=tolerance)


def test_integer_kernels_stay_integer_kernels(tmp_path, quantized_model):
    model, grids = quantized_model("lenet5")
    ran = []
    for preprocessing in (None, INPUTS):
        to_onnx(model, grids, SHAPE, tmp_path / "model.onnx", "int8", preprocessing=preprocessing)
        ran.append(describe_arithmetic(kernels(tmp_path / "model.onnx", SHAPE)))
    assert ran[0] == ran[1] != ""
    assert "int8" in ran[0]


@pytest.mark.parametrize("preprocessing", [True, False])
@pytest.mark.parametrize("inputs", [INPUTS, replace(INPUTS, ranges={}, upright=False, centre=1.0)])
def test_the_metadata_come_back(inputs, preprocessing):
    assert read_metadata(metadata_of(inputs, preprocessing), "it") == (inputs, preprocessing)


@pytest.mark.parametrize("without", ["classes", "mean", "image_size", "preprocessing", "units"])
def test_files_that_do_not_say_it_are_refused(without):
    metadata = metadata_of(INPUTS, False)
    del metadata[without]
    with pytest.raises(UserError, match=r"^it does not say its classes .* export it again"):
        read_metadata(metadata, "it")
