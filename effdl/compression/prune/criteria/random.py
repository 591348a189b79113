"""The random criterion, a baseline for all others (Blalock et al. 2020, section 5)."""

import torch
from torch import Tensor, nn

from effdl.nn.layers import weights
from effdl.training.trainer import Trainer


def random(model: nn.Module, trainer: Trainer) -> list[Tensor]:
    """Uniform scores in [0, 1) from the global random generator of the CPU, so that they are equal on all devices."""
    tensors = [getattr(module, name) for _, module, name in weights(model)]
    return [torch.rand(tensor.shape).to(tensor.device) for tensor in tensors]
