"""Masks: weights that are zero and stay zero, whatever trains the model afterwards."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Mask(nn.Module):
    """Parametrization that sets the weights where `keep` (bool, the weight's shape) is False to zero.

    The gradient there is zero too, and neither momentum nor weight decay can revive a weight, since the forward
    pass never reads the stored values of masked weights.
    """

    def __init__(self, keep: Tensor):
        super().__init__()
        self.register_buffer("keep", keep)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.keep, weight, 0.0)  # not weight * keep: that makes -0.0


def mask_of(module: nn.Module, name: str) -> Mask:
    """The mask of a module's weight; if there is none, one that keeps all weights is added."""
    if parametrize.is_parametrized(module, name):
        for step in module.parametrizations[name]:
            if isinstance(step, Mask):
                return step
    mask = Mask(torch.ones_like(getattr(module, name), dtype=torch.bool))
    parametrize.register_parametrization(module, name, mask)
    return mask


def under_mask(module: nn.Module, name: str) -> nn.Parameter:
    """The parameter that training updates: the original of a parametrized weight, else the weight itself."""
    return (
        module.parametrizations[name].original if parametrize.is_parametrized(module, name) else getattr(module, name)
    )
