"""Where activations are quantized, so that a runtime can carry out each layer on integers.

A layer runs on integers if its input, its weights and (a convolution) its output are quantized; an activation function
that clips, a pooling and an addition between quantizers are carried out on integers along with it. This is the QDQ
form of ONNX Runtime ("Quantize ONNX models") and the placement of Jacob et al. 2018, section 3.1.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn

from effdl.nn.call_graph import Call, CallGraph
from effdl.nn.layers import plain_type
from effdl.nn.quantizers import ActivationQuantizer

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
CLIPPING = (nn.ReLU, nn.ReLU6)  # a quantizer without negative codes, and with no larger ones, does the same
PASSING = (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten)  # what they give lies on the grid of what they got
POOLING = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
OTHERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh)
PRODUCERS = (*LAYERS, *CLIPPING, *POOLING, *OTHERS)  # after which a quantizer can stand


@dataclass(frozen=True)
class QuantizedLayer:
    """A convolution or linear layer that gets quantized weights, and the quantizer its input comes from."""

    layer: nn.Module
    input: ActivationQuantizer


def quantizable(graph: CallGraph, first_last: bool) -> list[Call]:
    """The calls of convolutions and linear layers, in their order, with or without the first and the last.

    Layers that are called more than once (or not as modules, such as attention projections) stay in float.
    """
    calls = [call for call in graph.calls if plain_type(call.module) in LAYERS]
    calls = calls if first_last else calls[1:-1]
    return [call for call in calls if graph.times[call.module] == 1]


def qdq_placement(graph: CallGraph, layers: list[Call]) -> tuple[dict[str, str], set[str]]:
    """Where quantizers belong.

    Returns:
        By layer, the module whose output (or if that is the layer itself, whose input) is to be quantized for it; and
        all modules whose output is to be quantized.
    """
    outputs = {call.name for call in graph.calls if type(call.module) in CLIPPING and reads_a_sum(graph, call)}
    sources = {}
    for call in layers:
        source = graph.producer(call.entering)
        while source and type(source.module) in PASSING:
            source = graph.producer(source.entering)
        found = source and plain_type(source.module) in PRODUCERS
        sources[call.name] = source.name if found else call.name
        outputs |= {source.name} if found else set()
        if plain_type(call.module) is not nn.Linear:  # its matrix product can give floats
            reader = graph.only_reader(call)
            outputs.add(reader.name if reader and type(reader.module) in CLIPPING else call.name)
    return sources, outputs


def reads_a_sum(graph: CallGraph, call: Call) -> bool:
    """Whether a module reads what no module gave, such as the sum where a shortcut ends."""
    return graph.producer(call.entering) is None


def insert_quantizers(
    graph: CallGraph, model: nn.Module, norms: dict[str, str], first_last: bool
) -> list[QuantizedLayer]:
    """Put quantizers of 8 bits, not calibrated yet, where `qdq_placement` says; in place.

    Args:
        graph: of the model; its calls are joined with their norms.
        norms: what `foldable_norms` found: a norm that will be folded counts as part of its layer.

    Returns:
        The layers to quantize, in the order of the forward pass.
    """
    graph.join(norms)
    layers = quantizable(graph, first_last)
    sources, outputs = qdq_placement(graph, layers)
    device = next(model.parameters()).device
    before = {name: new_quantizer(device) for name, source in sources.items() if name == source}
    after = {name: new_quantizer(device) for name in sorted(outputs)}
    for name in dict.fromkeys([*before, *after]):
        if name in norms:
            surround(model, norms[name], None, after.get(name))
            surround(model, name, before.get(name), None)
        else:
            surround(model, name, before.get(name), after.get(name))
    return [QuantizedLayer(call.module, before.get(call.name) or after[sources[call.name]]) for call in layers]


def new_quantizer(device: torch.device) -> ActivationQuantizer:
    """One for unsigned integers of 8 bits."""
    return ActivationQuantizer(8, signed=False).to(device)


def surround(model: nn.Module, name: str, before: nn.Module | None, after: nn.Module | None) -> None:
    """Replace a module by a sequence of itself and what comes before and after it, if anything does."""
    parts = {"input": before, "layer": model.get_submodule(name), "output": after}
    parts = OrderedDict((key, part) for key, part in parts.items() if part is not None)
    if len(parts) > 1:
        model.set_submodule(name, nn.Sequential(parts))
