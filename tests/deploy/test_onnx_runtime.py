"""What ONNX Runtime computes, and in which arithmetic."""

import sys
from collections import Counter

import pytest
import torch

from effdl.deploy.onnx_runtime import (
    describe_arithmetic,
    kernels,
    onnxruntime,
    ort_accuracy,
    ort_logits,
    runtime_name,
    runtime_that_ran,
    session,
    share_threads,
)
from effdl.utils.errors import UserError

SHAPE = (3, 16, 16)


@pytest.fixture
def exported(onnx_file, float_model):
    return float_model("lenet5"), onnx_file


def test_logits_and_accuracy_of_batches_of_different_sizes(exported, images):
    model, path = exported
    with torch.no_grad():
        expected = model(images)
    labels = expected.argmax(1)
    labels[0] = (labels[0] + 1) % 10
    batches = [(images[:4], labels[:4]), (images[4:6], labels[4:6]), (images[6:], labels[6:])]
    assert ort_logits(path, batches).sub(expected).abs().max() < 1e-5
    assert ort_accuracy(path, batches) == pytest.approx(6 / 7)


def test_kernels_are_those_that_ran(exported):
    _, path = exported
    ran = kernels(path, SHAPE)
    assert ran["Conv", "float"] == 2
    assert sum(count for (operator, _), count in ran.items() if "Gemm" in operator) == 2
    assert describe_arithmetic(ran) == "4 of 4 layers in fp32"


def test_arithmetic_in_words():
    ran = Counter({("QLinearConv", "uint8"): 3, ("Conv", "float"): 1, ("Add", "float"): 5, ("Gemm", "float16"): 1})
    assert describe_arithmetic(ran) == "3 of 5 layers in int8, 1 of 5 layers in fp32, 1 of 5 layers in fp16"


@pytest.mark.parametrize(
    ("ran", "label"),
    [
        ({("QLinearConv", "uint8"): 4, ("Add", "float"): 5}, " int8"),
        ({("QLinearConv", "uint8"): 3, ("Gemm", "float"): 1}, " int8 (3 of 4 layers)"),
        ({("QLinearConv", "uint8"): 1, ("Conv", "float"): 7}, " int8 (1 of 8 layers)"),
        ({("Conv", "float"): 8, ("QuantizeLinear", "float"): 8}, " fp32"),
        ({("Conv", "float"): 1, ("Gemm", "float16"): 2}, " fp16 (2 of 3 layers)"),
        ({("Relu", "float"): 1}, ""),
    ],
)
def test_the_label_names_the_arithmetic_that_ran(ran, label):
    assert runtime_that_ran(Counter(ran)) == f"{runtime_name()}{label}"


def test_a_version_that_cannot_share_threads_does_not_spin(exported, monkeypatch):
    monkeypatch.delattr(onnxruntime(), "set_global_thread_pool_sizes", raising=False)
    share_threads(2)
    options = session(exported[1], 2, shared=True).get_session_options()
    assert options.use_per_session_threads
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_threads_are_those_asked_for(exported):
    options = session(exported[1], 2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_without_onnxruntime_the_message_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'effdl\[onnx\]'"):
        session(exported[1], 1)
