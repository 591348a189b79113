"""How many bits the activations have that enter each layer, and the bit operations that follow from it."""

from collections.abc import Iterable

import torch
from torch import nn

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.hooks import forward_hooks
from effdl.nn.layers import weights
from effdl.nn.quantizers import ActivationQuantizer

# Their outputs are among the values of their inputs (or zero).
PASSING = (nn.Identity, nn.Flatten, nn.Dropout, nn.ReLU, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def activation_bits(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, tuple[int, int]]:
    """Bits of the activations that enter each weight layer, and how many there are, by the layer's name.

    They are those of the quantizer that the activations come from, if nothing but rearrangement is between, else
    those of their floating-point format.
    """
    known: dict[int, int] = {}
    found: dict[str, tuple[int, int]] = {}
    alive = []  # or another tensor would get the identity of one that is gone
    names = {module: name for name, module, _ in weights(model)}

    def bits_of(tensor: torch.Tensor) -> int:
        return known.get(id(tensor), 8 * tensor.dtype.itemsize)

    def look(module: nn.Module, arguments: tuple, output) -> None:
        entering = arguments[0] if arguments and isinstance(arguments[0], torch.Tensor) else None
        if module in names and entering is not None:
            found[names[module]] = (bits_of(entering), entering.numel())
        if not isinstance(output, torch.Tensor):
            return
        alive.append(output)
        if isinstance(module, ActivationQuantizer):
            known[id(output)] = module.bits
        elif isinstance(module, PASSING) and entering is not None:
            known[id(output)] = bits_of(entering)

    with eval_mode(model), forward_hooks(model.modules(), look):
        model(example_input(model, (1, *input_shape)))
    return found


def summary(rows: Iterable[dict], macs_nonzero: int, float_bits: int) -> dict:
    """``weight_bits``, ``activation_bits`` and ``bops`` of a model, from its layers' rows (see `per_layer`).

    The first is the mean over weights, the second over the activations that enter layers, the third the sum of
    non-zero MACs x bits of the weight x bits of the activation; products of two activations have `float_bits`.
    """
    rows = list(rows)
    weight_count, activations = sum(row["weights"] for row in rows), sum(row["inputs"] for row in rows)
    inside = sum(row["macs_nonzero"] for row in rows)
    return {
        "weight_bits": sum(row["weights"] * row["weight_bits"] for row in rows) / weight_count if rows else None,
        "activation_bits": sum(row["inputs"] * row["activation_bits"] for row in rows) / activations if rows else None,
        "bops": sum(row["macs_nonzero"] * row["weight_bits"] * row["activation_bits"] for row in rows)
        + (macs_nonzero - inside) * float_bits**2,
    }
