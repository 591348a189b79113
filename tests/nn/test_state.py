import pytest
import torch
from torch import nn

from effdl.nn.state import load_state


def test_layers_that_ask_for_a_version_take_plain_tensors():
    from torchvision.models import mnasnet0_5

    model, again = mnasnet0_5(num_classes=4), mnasnet0_5(num_classes=4)
    tensors = dict(model.state_dict())
    with pytest.raises(ValueError, match="version should be set"):
        again.load_state_dict(tensors)
    load_state(again, tensors)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in tensors.items())


def test_other_tensors_are_refused_unless_that_is_allowed():
    model, weight = nn.Linear(2, 2), torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="bias"):
        load_state(model, {"weight": weight})
    load_state(model, {"weight": weight}, strict=False, assign=True)
    assert model.weight.data_ptr() == weight.data_ptr()
