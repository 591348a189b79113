"""Masks: weights that are zero and stay zero, whatever trains the model afterwards."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Mask(nn.Module):
    """Parametrization that sets the weights where `keep` (bool, the weight's shape) is False to zero.

    The gradient there is zero too, and neither momentum nor weight decay can revive a weight, since the forward
    pass never reads what lies under the mask.
    """

    def __init__(self, keep: Tensor):
        super().__init__()
        self.register_buffer("keep", keep)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.keep, weight, 0.0)  # not weight * keep: that makes -0.0


def make_permanent(model: nn.Module) -> nn.Module:
    """A copy of a model whose parametrizations are replaced by the weights they yield, exactly."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            weights = {name: getattr(module, name).detach() for name in module.parametrizations}
            # Not `remove_parametrizations`: it changes the class, which the copy shares with the original.
            module.__class__ = type(module).__bases__[0]
            del module.parametrizations
            for name, weight in weights.items():
                module.register_parameter(name, nn.Parameter(weight, requires_grad=weight.is_floating_point()))
    return model
