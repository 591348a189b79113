"""torch.export programs."""

import sys

import pytest
import torch
from torch import nn

from effdl.deploy import executorch
from effdl.deploy.benchmark import timed
from effdl.deploy.torch_export import load, to_torch_export
from effdl.utils.errors import RunError, UserError

SHAPE = (3, 16, 16)


def test_a_program_computes_the_same_for_1_and_7(tmp_path, float_model, images):
    model, path = float_model("resnet"), tmp_path / "model.pt2"
    assert to_torch_export(model, SHAPE, path) == path.stat().st_size
    program = load(path)
    with torch.no_grad():
        for batch in (images, images[:1]):
            assert program(batch).sub(model(batch)).abs().max() < 1e-5
    (row,) = timed([path], SHAPE, threads=1).rows
    assert row["latency_runtime"] == f"torch.export {torch.__version__}"
    assert 0 < row["latency_q1_ms"] <= row["latency_ms"]


def test_the_example_it_was_traced_with_is_not_stored(tmp_path, float_model):
    to_torch_export(float_model("lenet5"), (3, 16, 16), tmp_path / "model.pt2")
    assert torch.export.load(tmp_path / "model.pt2").example_inputs is None


def test_half_precision_becomes_float32(tmp_path, float_model, images):
    model = float_model("lenet5").half()
    to_torch_export(model, SHAPE, tmp_path / "model.pt2")
    assert next(model.parameters()).dtype == torch.float16  # not changed
    with torch.no_grad():
        logits = load(tmp_path / "model.pt2")(images)
        assert logits.dtype == torch.float32
        assert logits.sub(model.float()(images)).abs().max() < 1e-5


def test_quantizers_are_in_the_program(tmp_path, quantized_model, images):
    model, _ = quantized_model("lenet5")
    to_torch_export(model, SHAPE, tmp_path / "model.pt2")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "model.pt2")(images), model(images))


def test_a_model_that_cannot_be_traced_is_one_message(tmp_path):
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(RunError, match=r"torch.export cannot trace this model: \S[^\n]+$"):
        to_torch_export(Branch(), SHAPE, tmp_path / "model.pt2")


def test_executorch_computes_the_same(tmp_path, float_model, images):
    pytest.importorskip("executorch")
    model, path = float_model("lenet5"), tmp_path / "model.pte"
    assert executorch.to_executorch(model, SHAPE, path) == path.stat().st_size
    with torch.no_grad():
        expected = model(images[:1])
    assert executorch.load(path, 1)(images[:1]).sub(expected).abs().max() < 1e-5
    assert timed([path], SHAPE, threads=1).rows[0]["latency_runtime"].startswith("ExecuTorch")


def test_without_executorch_the_message_says_what_to_install(tmp_path, float_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)
    monkeypatch.setitem(sys.modules, "executorch.backends.xnnpack.partition.xnnpack_partitioner", None)
    with pytest.raises(UserError, match=r"pip install 'effdl\[executorch\]'"):
        executorch.to_executorch(float_model("lenet5"), SHAPE, tmp_path / "model.pte")


def test_signs_are_in_the_program(tmp_path, sign_model, images):
    model, _ = sign_model
    to_torch_export(model, SHAPE, tmp_path / "model.pt2")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "model.pt2")(images), model(images))
