"""Multiply-accumulates (MACs) of one inference, counted on the operations that are executed."""

import logging
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrize

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.layers import weights
from effdl.nn.weight_uses import Products, Use, count_products

log = logging.getLogger(__name__)


@dataclass
class LayerMacs:
    """One weight tensor and what one inference does with it."""

    name: str
    module: nn.Module
    attribute: str
    use: Use


Traced = tuple[Products, list[LayerMacs]]  # of the whole model, and of each of its weights


def macs(model: nn.Module, input_shape: tuple[int, int, int], traced: Traced | None = None) -> dict:
    """``macs`` and ``macs_nonzero`` of one input (C, H, W), exact integers.

    ``macs`` includes the products of attention; ``macs_nonzero`` leaves out those whose weight is zero when it is
    multiplied. Padding counts as input. Operations on weights that cannot be counted are named in the log. The mode of
    the model, its hooks and the state of the random generators are the same afterwards.

    Args:
        traced: what `trace` gave for this model and input, if it was called before.
    """
    total, layers = traced or trace(model, input_shape)
    if total.uncounted:
        named = ", ".join(f"{name} ({operation})" for name, operation in total.uncounted.items())
        log.warning("MACs: products of these parameters are not counted: %s", named)
    if changed := [layer.name for layer in layers if layer.use.changed]:
        log.warning(
            "MACs: the forward pass changes the weights of %d of %d layers before it multiplies them (%s, ...), so that"
            " zeros stored there do not all save multiplications; counted is what is multiplied",
            len(changed),
            len(layers),
            changed[0],
        )
    return {"macs": total.macs, "macs_nonzero": total.macs_nonzero}


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> Traced:
    """The MACs of the whole model for one input (C, H, W), and of each weight in the order of `nn.layers.weights`."""
    x = example_input(model, (1, *input_shape))
    with eval_mode(model), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        _compute_parametrizations(model)
        total = count_products(model, x)
    layers = [
        LayerMacs(name, module, attribute, total.uses.get((module, attribute), Use()))
        for name, module, attribute in weights(model)
    ]
    return total, layers


def _compute_parametrizations(model: nn.Module) -> None:
    """Fill the cache of `eval_mode`, so that the operations of parametrizations are not counted as the model's."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                getattr(module, name)
