"""Multiply-accumulates (MACs) of one inference, counted on the operations that are executed."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.layers import weights
from effdl.nn.weight_uses import Positions, count_positions, uses


@dataclass
class LayerMacs:
    """One weight tensor and the multiply-accumulates it takes part in."""

    name: str
    module: nn.Module
    attribute: str
    macs: int
    macs_nonzero: int


def macs(model: nn.Module, input_shape: tuple[int, int, int]) -> dict:
    """``macs`` and ``macs_nonzero`` of one input (C, H, W), exact integers.

    ``macs`` includes the products of attention; ``macs_nonzero`` leaves out those whose weight is zero. Padding counts
    as input. The mode of the model, its hooks and the state of the random generators are the same afterwards.
    """
    total, layers = trace(model, input_shape)
    return {"macs": total, "macs_nonzero": total - sum(layer.macs - layer.macs_nonzero for layer in layers)}


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[int, list[LayerMacs]]:
    """The MACs of the whole model for one input (C, H, W), and of each weight in the order of `nn.layers.weights`."""
    x = example_input(model, (1, *input_shape))
    with eval_mode(model), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        _compute_parametrizations(model)
        total, positions = count_positions(model, x)
        layers = [
            LayerMacs(name, module, attribute, *_weight_macs(module, attribute, positions.get((module, attribute))))
            for name, module, attribute in weights(model)
        ]
    return total, layers


def _weight_macs(module: nn.Module, attribute: str, positions: list[Positions] | None) -> tuple[int, int]:
    """MACs of a weight tensor and those of its non-zero elements.

    Args:
        positions: of each of the equal parts of the tensor (see `count_positions`); None if it was not used.
    """
    if positions is None:
        return 0, 0
    counts = [uses(module, part) for part in positions]
    parts = getattr(module, attribute).chunk(len(counts))
    return (
        sum(n * part.numel() for n, part in zip(counts, parts, strict=True)),
        sum(n * int(torch.count_nonzero(part)) for n, part in zip(counts, parts, strict=True)),
    )


def _compute_parametrizations(model: nn.Module) -> None:
    """Fill the cache of `eval_mode`, so that the operations of parametrizations are not counted as the model's."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                getattr(module, name)
