import pytest
import torch
from torch import nn

from effdl.compression.quantize.int8 import check_quantizable
from effdl.compression.quantize.lsq import lsq
from effdl.compression.quantize.wrapping import check_wrapping, layer_inputs
from effdl.compression.quantize.xnor import xnor
from effdl.utils.errors import UserError


class Reading(nn.Module):
    """Reads an attribute of a layer, as timm's EdgeNeXt does."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 1), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.first(x.to(self.first.weight.dtype)).mean((2, 3)))


def test_a_layer_whose_attributes_are_read_cannot_stand_in_a_sequence():
    model = Reading()
    check_wrapping(model, ["last"], (1, 4, 4), "here")
    with pytest.raises(UserError, match=r"^here: the code of this model reads"):
        check_wrapping(model, ["first", "last"], (1, 4, 4), "here")
    assert type(model.first) is nn.Conv2d
    model(torch.zeros(1, 1, 4, 4))


def test_methods_refuse_such_a_model_before_any_training():
    with pytest.raises(UserError, match=r"^compression.lsq.activation_bits=null \(allowed is 32\): the code of"):
        lsq.check(Reading(), None, None, (1, 4, 4))
    lsq.check(Reading(), 32, None, (1, 4, 4))
    model = nn.Sequential(nn.Conv2d(1, 1, 1), Reading())
    with pytest.raises(UserError, match=r"^compression.xnor.activations=true \(allowed is false\): the code of"):
        xnor.check(model, True, (1, 4, 4), True)
    xnor.check(model, True, (1, 4, 4), False)
    with pytest.raises(UserError, match=r"^quantize=int8: the code of this model reads"):
        check_quantizable(Reading(), True, (1, 4, 4))


def test_what_enters_the_layers_is_seen_and_attention_s_inner_layer_is_not():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.attention = nn.Linear(4, 4), nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            x = self.linear(x).relu()
            return self.attention(x, x, x)[0]

    block, x = Block(), torch.randn(2, 3, 4)
    found = layer_inputs(block, x)
    assert list(found) == [block.linear]  # the attention reads the weights of its out_proj without calling it
    assert torch.equal(found[block.linear], x)
    assert not block.linear._forward_pre_hooks
