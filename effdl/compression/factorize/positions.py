"""The number of positions at which each layer that can be factorized is applied."""

import torch
from torch import nn

from effdl.nn.weight_uses import Positions, count_positions


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, dict[nn.Module, Positions]]:
    """Multiply-accumulates of the whole model for one image (C, H, W), and the positions of its plain layers.

    Plain layers are ``nn.Linear`` and ungrouped ``nn.Conv2d`` modules that are called as modules and are neither
    parametrized nor of a subclass; others may be used in ways that do not allow to replace them. The model must be in
    eval mode.
    """
    weight = next(model.parameters())
    images = torch.zeros(1, *input_shape, dtype=weight.dtype, device=weight.device)
    total, positions = count_positions(model, images)
    return total, {module: of for (module, _), (of, *_) in positions.items() if _is_plain(module)}


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is a linear layer or a convolution that a sequence of smaller ones can replace."""
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
