"""Placement of activation quantizers such that a runtime can execute each layer with integers.

A layer is executed with integers if its input, its weights and, for a convolution, its output are quantized; a clipping
activation, a pooling and an addition between quantizers are then executed with integers, too. This is the QDQ format of
ONNX Runtime ("Quantize ONNX models") and the placement of Jacob et al. 2018, section 3.1.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn

from effdl.nn.call_graph import Call, CallGraph
from effdl.nn.layers import plain_type
from effdl.nn.quantizers import ActivationQuantizer

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
_CLIPPING = (nn.ReLU, nn.ReLU6)  # an unsigned quantizer clips at zero, and its range ends at the largest output
_PASSING = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten)  # their outputs are codes of the same scale as their inputs
_POOLING = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_OTHERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh)
_PRODUCERS = (*LAYERS, *_CLIPPING, *_POOLING, *_OTHERS)  # modules after which a quantizer can be placed


@dataclass(frozen=True)
class QuantizedLayer:
    """A convolution or linear layer whose weights are to be quantized, and the quantizer of its input."""

    layer: nn.Module
    input: ActivationQuantizer


def quantizable(graph: CallGraph, first_last: bool) -> list[Call]:
    """The calls of convolutions and linear layers in order of execution, with or without the first and the last one.

    Layers that are called more than once (or not as modules, such as attention projections) stay in floating point.
    """
    calls = [call for call in graph.calls if plain_type(call.module) in LAYERS]
    calls = calls if first_last else calls[1:-1]
    return [call for call in calls if graph.times[call.module] == 1]


def _qdq_placement(graph: CallGraph, layers: list[Call]) -> tuple[dict[str, str], set[str]]:
    """Choose where quantizers are placed.

    Returns:
        By the name of each layer, the name of the module whose output is its input and is quantized, or the layer's
        own name if a quantizer must be placed before it; and the names of all modules whose output is quantized.
    """
    outputs = {call.name for call in graph.calls if type(call.module) in _CLIPPING and _reads_a_sum(graph, call)}
    sources = {}
    for call in layers:
        source = graph.producer(call.entering)
        while source and type(source.module) in _PASSING:
            source = graph.producer(source.entering)
        found = source and plain_type(source.module) in _PRODUCERS
        sources[call.name] = source.name if found else call.name
        outputs |= {source.name} if found else set()
        if plain_type(call.module) is not nn.Linear:  # the output of an integer matrix product may be float
            reader = graph.only_reader(call)
            outputs.add(reader.name if reader and type(reader.module) in _CLIPPING else call.name)
    return sources, outputs


def _reads_a_sum(graph: CallGraph, call: Call) -> bool:
    """Whether the input of a call is not the output of a module, but for example the sum at the end of a shortcut."""
    return graph.producer(call.entering) is None


def insert_quantizers(
    graph: CallGraph, model: nn.Module, norms: dict[str, str], first_last: bool
) -> list[QuantizedLayer]:
    """Insert 8-bit activation quantizers, not calibrated yet, where `_qdq_placement` places them; in place.

    Args:
        graph: the call graph of the model; the calls of layers and their norms are merged in it.
        norms: the result of `foldable_norms`: a norm that will be folded counts as part of its layer.

    Returns:
        The layers to quantize, in the order of the forward pass.
    """
    graph.join(norms)
    layers = quantizable(graph, first_last)
    sources, outputs = _qdq_placement(graph, layers)
    device = next(model.parameters()).device
    before = {name: _new_quantizer(device) for name, source in sources.items() if name == source}
    after = {name: _new_quantizer(device) for name in sorted(outputs)}
    for name in dict.fromkeys([*before, *after]):
        if name in norms:
            _surround(model, norms[name], None, after.get(name))
            _surround(model, name, before.get(name), None)
        else:
            _surround(model, name, before.get(name), after.get(name))
    return [QuantizedLayer(call.module, before.get(call.name) or after[sources[call.name]]) for call in layers]


def _new_quantizer(device: torch.device) -> ActivationQuantizer:
    """An activation quantizer for unsigned 8-bit integers."""
    return ActivationQuantizer(8, signed=False).to(device)


def _surround(model: nn.Module, name: str, before: nn.Module | None, after: nn.Module | None) -> None:
    """Replace a module by a sequence of `before`, itself and `after`; if both are None, it stays as it is."""
    parts = {"input": before, "layer": model.get_submodule(name), "output": after}
    parts = OrderedDict((key, part) for key, part in parts.items() if part is not None)
    if len(parts) > 1:
        model.set_submodule(name, nn.Sequential(parts))
