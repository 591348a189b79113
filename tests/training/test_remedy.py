from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.training.remedy import SLOWER, remedy


def model(scale):
    made = nn.Linear(4, 2)
    nn.init.constant_(made.weight, scale)
    return made


def loss(made):
    return F.cross_entropy(made(torch.ones(3, 4)), torch.tensor([0, 1, 0]))


def test_a_loss_that_is_finite_in_fp32_overflowed():
    made = model(1e5)
    said = remedy(made, "fp16", partial(loss, made))
    assert said.startswith("an overflow of fp16, which ends at 65,504 (in fp32 the loss of this batch is 0.")
    assert "set device.precision=bf16, or lower optimizer.lr" in said
    assert made.training


@pytest.mark.parametrize(("precision", "scale"), [("fp16", float("nan")), ("fp32", 1.0), ("bf16", 1.0)])
def test_what_is_no_overflow_is_not_called_one(precision, scale):
    made = model(scale)
    assert remedy(made, precision, partial(loss, made)) == SLOWER
