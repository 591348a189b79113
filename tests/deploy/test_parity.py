"""Comparing an export with the model it was made of."""

import re

import pytest
import torch
from torch import nn

from effdl.deploy.parity import compare, program_logits, require_parity, tolerance_of, torch_logits
from effdl.utils.errors import RunError

EXPECTED = torch.tensor([[4.0, 0.0], [1.0, 2.0], [0.0, 3.0], [2.0, 1.9]])
LABELS = torch.tensor([0, 1, 1, 0])


def test_comparison_in_numbers():
    exported = EXPECTED.clone()
    exported[3, 1] = 2.1  # the answer changes from right to wrong
    found = compare(EXPECTED, exported, LABELS)
    assert found == {
        "top1": 0.75,
        "top1_pytorch": 1.0,
        "top1_difference": -0.25,
        "logit_difference_max": pytest.approx(0.2),
        "logit_max": 4.0,
        "argmax_agreement": 0.75,
        "images": 4,
    }


@pytest.mark.parametrize(("tolerance", "bound"), [("fp32", 0.004), ("fp16", 0.4), ("int8", 1.0)])
def test_logits_may_differ_as_much_as_the_arithmetic_explains(tolerance, bound):
    for factor, fails in ((0.99, False), (1.01, True)):
        exported = EXPECTED.clone()
        exported[0, 0] += bound * factor
        found = compare(EXPECTED, exported, LABELS)
        if fails:
            with pytest.raises(RunError, match=f"logits differ by up to .* \\({tolerance}: at most"):
                require_parity(found, tolerance)
        else:
            require_parity(found, tolerance)


def test_a_lower_and_a_higher_accuracy_are_refused():
    comparison = {"logit_difference_max": 0.0, "logit_max": 1.0}
    require_parity({**comparison, "top1_difference": -0.005}, "int8")
    for difference in (-0.006, 0.006):
        with pytest.raises(RunError, match=re.escape(f"{100 * difference:+.2f} points")):
            require_parity({**comparison, "top1_difference": difference}, "int8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(value):
    exported = EXPECTED.clone()
    exported[1, 0] = value
    with pytest.raises(RunError, match="not finite"):
        require_parity(compare(EXPECTED, exported, LABELS), "fp16")


def test_the_coarser_arithmetic_sets_the_tolerance(float_model, quantized_model, sign_model):
    assert tolerance_of(float_model("lenet5"), "fp32") == "fp32"
    assert tolerance_of(float_model("lenet5"), "fp16") == "fp16"
    assert tolerance_of(float_model("lenet5").bfloat16(), "fp32") == "fp16"
    assert tolerance_of(quantized_model("lenet5")[0], "fp32") == tolerance_of(sign_model[0], "fp32") == "int8"


def test_logits_come_in_order_and_in_float32():
    model = nn.Linear(3, 2)
    images, labels = torch.randn(5, 3), torch.zeros(5)
    batches = [(images[:2], labels[:2]), (images[2:], labels[2:])]
    expected = model(images).detach()
    assert torch.allclose(torch_logits(model, batches), expected)
    assert torch_logits(model.to(torch.bfloat16), batches).dtype == torch.float32
    sizes = []

    def program(x):
        sizes.append(len(x))
        return model.float()(x)

    found = program_logits(program, batches, one_by_one=True)
    assert sizes == [1] * 5
    assert found.shape == (5, 2)
    assert program_logits(program, batches).shape == (5, 2)
    assert sizes[5:] == [2, 3]
