"""The number of positions at which each layer that can be factorized is applied."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from effdl.nn.hooks import forward_hooks
from effdl.nn.weight_uses import count_products


@dataclass
class Positions:
    """Numbers of pixels (of a linear layer: rows) that a layer reads and gives, summed over images and calls.

    `between` counts those of a map with the height of the output and the width of the input; it is 0 unless the layer
    is an ``nn.Conv2d``.
    """

    inputs: int = 0
    between: int = 0
    outputs: int = 0


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, dict[nn.Module, Positions]]:
    """Multiply-accumulates of the whole model for one image (C, H, W), and the positions of its plain layers.

    Plain layers are ``nn.Linear`` and ungrouped ``nn.Conv2d`` modules that are called as modules and are neither
    parametrized nor of a subclass; others may be used in ways that do not allow to replace them. The model must be in
    eval mode.
    """
    found: dict[nn.Module, Positions] = {}

    def note(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
        x = args[0] if args else kwargs["input"]
        image = isinstance(module, nn.Conv2d)
        inputs = module.in_channels if image else module.in_features
        positions = found.setdefault(module, Positions())
        positions.inputs += x.numel() // inputs
        positions.between += x.numel() // x.shape[-2] * output.shape[-2] // inputs if image else 0
        positions.outputs += output.numel() // (module.out_channels if image else module.out_features)

    weight = next(model.parameters())
    images = torch.zeros(1, *input_shape, dtype=weight.dtype, device=weight.device)
    with forward_hooks([module for module in model.modules() if _is_plain(module)], note, with_kwargs=True):
        return count_products(model, images).macs, found


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is a linear layer or a convolution that a sequence of smaller ones can replace."""
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
