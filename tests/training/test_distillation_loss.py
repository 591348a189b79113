"""The contract of distillation losses, checked where they are used."""

import pytest
from torch import nn

from effdl.training.distillation_loss import checked


class Loss(nn.Module):
    def forward(self, images, targets, logits, loss):
        return loss

    def close(self): ...


class NeverClosed(nn.Module):
    def forward(self, images, targets, logits, loss):
        return loss


def test_a_module_that_can_be_closed_is_one():
    made = Loss()
    assert checked(made) is made


@pytest.mark.parametrize("made", [NeverClosed(), None, lambda images, targets, logits, loss: loss])
def test_anything_else_is_refused(made):
    with pytest.raises(TypeError, match=r"no distillation loss: it must be a torch.nn.Module with forward.*close\(\)"):
        checked(made)
