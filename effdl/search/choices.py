"""What can be done to the weight of each layer, what it costs and what it loses: the tables that the solver reads."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from effdl.compression.quantize.lsq import first_step_size
from effdl.compression.sensitivity import pruned
from effdl.nn.fake_quant import bounds, fake_quantize
from effdl.nn.layers import weights

FLOAT = 32  # bits of a weight that is not quantized
_INT8, _INT8_INPUTS = 7, 8  # bits of weights and inputs, with which ONNX Runtime is right on all processors
_SPARSITIES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
_BITS = (2, 3, 4, 5, 6, 8)
_MICRONET_INPUTS = (4, 8)  # bits of activations; a multiplication counts the wider of its inputs, an addition 32
_STEPS = torch.logspace(-2, 1, 13, base=2).tolist()  # factors on the first step size, of which the best is taken


class Choice(NamedTuple):
    """The fraction of a layer's weights that is zero, and the bits of the others; 32: floats."""

    sparsity: float
    bits: int


class Family(NamedTuple):
    """Options of which each layer has one, the bits of all activations (32: floats), and whether integers are computed
    with: the method int8."""

    activations: int
    options: tuple[Choice, ...]
    int8: bool = False


@dataclass(frozen=True)
class LayerTable:
    """One layer's options.

    Args:
        name: of the layer.
        numel: elements of its weight.
        losses: (choices,), by how much the loss grows, in nats.
        nonzero: (choices,), number of weights that are not zero then.
        size: (choices,), bytes of the coded weight, by its entropy.
    """

    name: str
    numel: int
    losses: np.ndarray
    nonzero: np.ndarray
    size: np.ndarray


def families_of(keys: Collection[str], runtime: str) -> list[Family]:
    """What is tried of each layer, by the metrics of a goal.

    With a latency no layer has few bits, as no runtime here computes with them; 8-bit integers are tried where the
    dense model is timed in the runtime that computes with them. The course's score counts the bits of weights by their
    mean and multiplies with those of activations, so there all layers have the same; MicroNet's counts each layer's.

    Args:
        runtime: in which models of floats are timed.
    """
    if "latency_ms" in keys:
        floats = Family(FLOAT, tuple(Choice(sparsity, FLOAT) for sparsity in _SPARSITIES))
        integers = Family(_INT8_INPUTS, tuple(Choice(sparsity, _INT8) for sparsity in _SPARSITIES), int8=True)
        return [floats, integers] if runtime == "onnx" else [floats]
    if "course_score" in keys:
        return [Family(bits, tuple(Choice(sparsity, bits) for sparsity in _SPARSITIES)) for bits in _BITS]
    if "micronet_score" in keys:
        options = tuple(Choice(sparsity, bits) for sparsity in _SPARSITIES for bits in _BITS)
        return [Family(bits, options) for bits in _MICRONET_INPUTS]
    return [Family(FLOAT, tuple(Choice(sparsity, bits) for sparsity in _SPARSITIES for bits in (*_BITS, FLOAT)))]


def least_error_step(weight: Tensor, bits: int) -> Tensor:
    """The step size of least squared error among multiples of LSQ's first one: a scalar."""
    low, high = bounds(bits, signed=True)
    first = first_step_size(weight, high)
    steps = [first * factor for factor in _STEPS]
    errors = [float((fake_quantize(weight, step, 0, low, high) - weight).square().sum()) for step in steps]
    return steps[min(range(len(steps)), key=errors.__getitem__)]


def stored_step(weight: Tensor, bits: int) -> Tensor:
    """The step size, nearly, that the weight has in a file: a scalar.

    Training moves LSQ's step little from the first one, which is larger than that of least error, most with many bits;
    so codes are smaller, and files by a tenth. The 7 bits of int8 are not trained.
    """
    return least_error_step(weight, bits) if bits == _INT8 else first_step_size(weight, bounds(bits, signed=True)[1])


def codes(weight: Tensor, bits: int) -> Tensor:
    """The integer codes of a weight, nearly as they are stored: int16, of its shape."""
    low, high = bounds(bits, signed=True)
    return (weight / stored_step(weight, bits)).round().clamp(low, high).to(torch.int16)


def entropy_bytes(values: Tensor) -> float:
    """Bytes of integers that are coded by their frequencies, without anything about their order (Shannon 1948)."""
    _, counts = values.flatten().unique(return_counts=True)
    shares = counts.double() / counts.sum()
    return float(-(counts.double() * shares.log2()).sum()) / 8


def coded(weight: Tensor, choice: Choice, float_bytes: float) -> tuple[int, float]:
    """Number of weights that are not zero, and bytes of the coded weight, for one choice.

    Args:
        float_bytes: of a weight that is not quantized, as files have it.
    """
    weight = pruned(weight, choice.sparsity)
    if choice.bits == FLOAT:
        kept = int(torch.count_nonzero(weight))
        return kept, entropy_bytes((weight != 0).to(torch.int16)) + kept * float_bytes
    found = codes(weight, choice.bits)
    return int(torch.count_nonzero(found)), entropy_bytes(found)


def levels_of(options: Sequence[Choice]) -> dict[str, list[float]]:
    """What is tried of each layer alone: the fractions and the bits of the options that change something."""
    return {
        "prune": sorted({option.sparsity for option in options} - {0.0}),
        "quantize": sorted({option.bits for option in options} - {FLOAT}),
    }


def quantized(weight: Tensor, bits: float) -> Tensor:
    """A weight rounded to so many bits with the least error."""
    return fake_quantize(weight, least_error_step(weight, int(bits)), 0, *bounds(int(bits), signed=True))


CHANGES = {"prune": pruned, "quantize": quantized}


def tables(
    model: nn.Module, base: float, rows: Sequence[dict], options: Sequence[Choice], float_bytes: float
) -> list[LayerTable]:
    """The tables of all layers.

    The loss of a choice is the sum of what its fraction of zeros and what its bits cost alone, in this layer alone,
    and never below what a milder choice costs: chance must not make a harsher one look better.

    Args:
        base: the model's loss.
        rows: what `analyse` yields with a column ``loss``.
        options: the same for all layers.
        float_bytes: see `coded`.
    """
    found = {(row["layer"], row["change"], row["level"]): max(0.0, row["loss"] - base) for row in rows}
    made = []
    for name, module, attribute in weights(model):
        weight = getattr(module, attribute).detach()
        zeros = _monotone([(level, found[name, "prune", level]) for level in levels_of(options)["prune"]])
        bits = _monotone([(-level, found[name, "quantize", level]) for level in levels_of(options)["quantize"]])
        lost = [zeros.get(option.sparsity, 0.0) + bits.get(-option.bits, 0.0) for option in options]
        nonzero, size = zip(*(coded(weight, option, float_bytes) for option in options), strict=True)
        made.append(LayerTable(name, weight.numel(), np.array(lost), np.array(nonzero, float), np.array(size)))
    return made


def _monotone(points: list[tuple[float, float]]) -> dict[float, float]:
    """The values made such that they do not fall from one level to the next harsher one."""
    highest, found = 0.0, {}
    for level, value in sorted(points):
        found[level] = highest = max(highest, value)
    return found
