"""Batch norm folded into the layer before it, which then computes both at once.

Pairs of layer and norm are found by what is computed in a forward pass, not by their names.
"""

import torch
from torch import Tensor, nn

from effdl.nn.call_graph import Call, CallGraph
from effdl.nn.layers import plain_type
from effdl.nn.mask import under_mask

NORM_OF = {nn.Conv1d: nn.BatchNorm1d, nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}


def foldable_norms(graph: CallGraph) -> dict[str, str]:
    """The batch norms that can be folded into the layer whose output they alone read, by that layer's name."""
    pairs = {}
    for call in graph.calls:
        reader = graph.only_reader(call)
        if reader and foldable(call, reader.module) and graph.times[call.module] == graph.times[reader.module] == 1:
            pairs[call.name] = reader.name
    return pairs


def foldable(call: Call, norm: nn.Module) -> bool:
    """Whether a layer's outputs, in dimension 1, are what a batch norm with running statistics normalizes."""
    kind = plain_type(call.module)
    same_dimension = kind is not nn.Linear or call.dimensions == 2
    return kind in NORM_OF and type(norm) is NORM_OF[kind] and norm.running_mean is not None and same_dimension


@torch.no_grad()
def fold(layer: nn.Module, norm: nn.Module) -> Tensor:
    """Give a layer the weight and bias by which it computes ``norm(layer(x))`` in eval mode; in place.

    Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2. Masks stay: zeros remain zero in
    later training.

    Returns:
        What the weights were multiplied by, (outputs,).
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
