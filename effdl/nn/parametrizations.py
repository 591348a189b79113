"""Parametrizations turned into plain tensors, and the integer grids of the weights that they quantized."""

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.nn.fake_quant import QuantGrid
from effdl.nn.layers import plain_type


@torch.no_grad()
def materialize_parametrizations(model: nn.Module) -> nn.Module:
    """A copy of a model whose parametrizations are replaced by the tensors they yield in eval mode, exactly."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            stored = module.parametrizations.eval()  # in eval mode a stochastic one yields one value, not a draw
            tensors = {name: getattr(module, name).detach() for name in stored}
            # Not `remove_parametrizations`: it changes the class, which the copy shares with the original.
            module.__class__ = plain_type(module)
            del module.parametrizations
            for name, tensor in tensors.items():
                if any(True for _ in stored[name].parameters(recurse=False)):
                    module.register_parameter(name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))
                else:
                    module.register_buffer(name, tensor)
    return model


@torch.no_grad()
def quant_grids(model: nn.Module) -> dict[str, QuantGrid]:
    """The grids of a model's weights, by their name in the state dict of the materialized model.

    A parametrization that quantizes weights to integer codes has a method ``grid() -> QuantGrid``; of several on one
    tensor the last counts. Masks may come before or after it: zero lies on every grid.
    """
    return {
        f"{module_name}.{name}" if module_name else name: step.grid()
        for module_name, module in model.named_modules(remove_duplicate=False)  # as in the state dict
        if parametrize.is_parametrized(module)
        for name, steps in module.parametrizations.items()
        for step in steps
        if hasattr(step, "grid")
    }
