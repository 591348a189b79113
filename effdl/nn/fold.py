"""Folding of batch norms into the layers before them.

Pairs of layer and norm are found in the call graph of a forward pass, not by their names.
"""

import torch
from torch import Tensor, nn

from effdl.nn.call_graph import Call, CallGraph
from effdl.nn.layers import plain_type
from effdl.nn.mask import under_mask

_NORM_OF = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}


def foldable_norms(graph: CallGraph) -> dict[str, str]:
    """Names of the batch norms that can be folded, by the name of the layer whose output only the norm reads."""
    pairs = {}
    for call in graph.calls:
        reader = graph.only_reader(call)
        if reader and _foldable(call, reader.module) and graph.times[call.module] == graph.times[reader.module] == 1:
            pairs[call.name] = reader.name
    return pairs


def _foldable(call: Call, norm: nn.Module) -> bool:
    """Whether a norm is a batch norm with running statistics over the dimension (1) of the outputs of a layer."""
    kind = plain_type(call.module)
    same_dimension = kind is not nn.Linear or call.dimensions == 2
    return kind in _NORM_OF and type(norm) is _NORM_OF[kind] and norm.running_mean is not None and same_dimension


@torch.no_grad()
def fold(layer: nn.Module, norm: nn.Module) -> Tensor:
    """Change the weight and bias of a layer such that it computes ``norm(layer(x))`` of eval mode; in place.

    Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2. Masks stay, so that zeros
    remain zero in later training.

    Returns:
        The factors by which the weights of each output were multiplied, (outputs,).
    """
    factor = torch.rsqrt(norm.running_var + norm.eps)
    factor = factor if norm.weight is None else factor * norm.weight
    shift = -norm.running_mean * factor
    shift = shift if norm.bias is None else shift + norm.bias
    weight = under_mask(layer, "weight")  # scaling the outputs keeps the mask's zeros
    weight.mul_(factor.view(-1, *[1] * (weight.ndim - 1)))
    if layer.bias is None:
        layer.bias = nn.Parameter(shift)
    else:
        layer.bias.mul_(factor).add_(shift)
    return factor
