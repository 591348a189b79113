"""How often the weights of each layer are multiplied for one image."""

from dataclasses import dataclass

import torch
from torch import nn

from effdl.nn.flops import counting


@dataclass
class Positions:
    """Pixels (of a linear layer: rows) that a layer reads and gives, summed over its calls for one image.

    `between` has the height of the output and the width of the input.
    """

    inputs: int = 0
    between: int = 0
    outputs: int = 0


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, dict[nn.Module, Positions]]:
    """Multiply-accumulates of the whole model for one image (C, H, W), and the positions of its plain layers.

    Plain are ``nn.Linear`` and ungrouped ``nn.Conv2d``, neither parametrized nor of a subclass, that are called as
    modules: others may be used in ways that factors would break. The model is in eval mode.
    """
    found: dict[nn.Module, Positions] = {}

    def note(layer: nn.Module, arguments: tuple, output: torch.Tensor) -> None:
        x, seen = arguments[0], found.setdefault(layer, Positions())
        image = isinstance(layer, nn.Conv2d)
        seen.inputs += x.numel() // (layer.in_channels if image else layer.in_features)
        seen.outputs += output.numel() // (layer.out_channels if image else layer.out_features)
        seen.between += x.numel() // x.shape[-2] * output.shape[-2] // layer.in_channels if image else 0

    layers = [module for module in model.modules() if is_plain(module)]
    handles = [layer.register_forward_hook(note) for layer in layers]
    weight = next(model.parameters())
    try:
        with torch.no_grad(), counting() as counter:
            model(torch.zeros(1, *input_shape, dtype=weight.dtype, device=weight.device))
    finally:
        for handle in handles:
            handle.remove()
    return counter.get_total_flops() // 2, found


def is_plain(module: nn.Module) -> bool:
    """Whether a module is a linear layer or a convolution that a sequence of smaller ones can replace."""
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
