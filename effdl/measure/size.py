"""The size of a model: parameters and bytes of its file."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.measure.eval_mode import eval_mode
from effdl.nn.layers import weights
from effdl.nn.mask import Mask


def count(model: nn.Module) -> dict:
    """``params``, ``params_nonzero``, ``sparsity`` = 1 - params_nonzero/params and ``weight_sparsity``, the same over
    the weights of convolutions, linear layers and attention projections only.

    A parametrized tensor (masked, quantized) counts as the forward pass computes it, that is, as it is in the
    materialized model. A tensor that is used twice counts once. A sparsity is None if there are no parameters.
    """
    with eval_mode(model):
        params, params_nonzero = sizes(parameters(model))
        weight_params, weight_nonzero = sizes(distinct((module, name) for _, module, name in weights(model)))
    return {
        "params": params,
        "params_nonzero": params_nonzero,
        "sparsity": 1 - params_nonzero / params if params else None,
        "weight_sparsity": 1 - weight_nonzero / weight_params if weight_params else None,
    }


def pruned(model: nn.Module) -> int:
    """Number of parameters that masks hold at zero: what pruning made zero, not what rounding did."""
    return sum(_masked(module, name) for module, name in parameters(model))


def _masked(module: nn.Module, name: str) -> int:
    """Number of elements of a parameter that a mask sets to zero."""
    steps = module.parametrizations[name] if parametrize.is_parametrized(module, name) else ()
    keeps = [step.keep for step in steps if isinstance(step, Mask)]
    return int(torch.stack(keeps).all(dim=0).logical_not().sum()) if keeps else 0


def file_bytes(path: str | Path) -> int:
    """Length of the file in bytes."""
    return os.stat(path).st_size


def parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """(module, attribute) of every parameter of the model with materialized parametrizations, each parameter once.

    The own tensors of a parametrization (a mask, a learned scale) do not belong to them.
    """
    inner = {child for m in model.modules() if parametrize.is_parametrized(m) for child in m.parametrizations.modules()}
    return distinct(
        (module, name)
        for module in model.modules()
        if module not in inner
        for name in (*module._parameters, *(module.parametrizations if parametrize.is_parametrized(module) else ()))
        if isinstance(_source(module, name), nn.Parameter)
    )


def distinct(attributes: Iterable[tuple[nn.Module, str]]) -> Iterator[tuple[nn.Module, str]]:
    """The attributes without those whose tensor came before under another name."""
    seen = set()
    for module, name in attributes:
        tensor = id(_source(module, name))
        if tensor not in seen:
            seen.add(tensor)
            yield module, name


def _source(module: nn.Module, name: str) -> Tensor | None:
    """The stored tensor of an attribute: itself, or the (first) original of its parametrization."""
    if not parametrize.is_parametrized(module, name):
        return getattr(module, name)
    stored = module.parametrizations[name]
    return stored.original if stored.is_tensor else stored.original0


def sizes(attributes: Iterable[tuple[nn.Module, str]]) -> tuple[int, int]:
    """Number of all elements, and number of elements that are not exactly zero."""
    total = nonzero = 0
    for module, name in attributes:
        tensor = getattr(module, name)
        total += tensor.numel()
        nonzero += int(torch.count_nonzero(tensor))
    return total, nonzero
