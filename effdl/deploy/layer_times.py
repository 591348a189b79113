"""How long each layer of an ONNX file takes in ONNX Runtime, by its profile."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import median

from effdl.deploy.onnx_runtime import KERNEL, profiled

_RUNS = 30  # inferences, after those that warm up
_WARM = 5
_OWN = re.compile(
    r"(?:(?P<layer>.+?)\.)??(?:parametrizations\.)?(?:weight|bias)(?:\.original)?"
)  # names of initializers
_FUSED = re.compile(r"^fused |_(nchwc|quant|token_\d+)$")


def layer_times(path: Path, input_shape: tuple[int, int, int], threads: int) -> list[dict]:
    """Time each layer of an ONNX file, with all that follows it up to the next: activations, sums, changes of layout.

    The profile itself takes time for every kernel, about a microsecond, so the sum is larger than the latency.

    Args:
        input_shape: shape (C, H, W) of an image; the batch is one image.
        threads: number of CPU threads.

    Returns:
        In the order of execution, a row for each layer: ``layer`` (its name in the model; empty: what comes before the
        first), ``kernels`` (operators as they were executed) and ``time_us``, medians over inferences.
    """
    layer_of = _layers_by_name(path)
    ran = profiled(path, input_shape, threads=threads, runs=_WARM + _RUNS)
    each = len(ran) // (_WARM + _RUNS)
    runs = [ran[start : start + each] for start in range(_WARM * each, len(ran), each)]
    found, current = {}, ""
    times: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(runs))
    for kernels in zip(*runs, strict=True):
        name, operator = kernels[0]["name"].removesuffix(KERNEL), kernels[0]["args"]["op_name"]
        current = _named(name, layer_of) or current
        found.setdefault(current, []).append(operator)
        for run, kernel in enumerate(kernels):
            times[current][run] += kernel["dur"]
    return [
        {"layer": layer, "kernels": operators, "time_us": median(times[layer])} for layer, operators in found.items()
    ]


def _layers_by_name(path: Path) -> dict[str, str]:
    """The layer whose weight a node multiplies by, or whose output it changes; by names of nodes and of tensors."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    owner = {
        tensor.name: found["layer"] or "" for tensor in graph.initializer if (found := _OWN.fullmatch(tensor.name))
    }
    makers = {name: node for node in graph.node for name in node.output}
    found: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in owner:
            owner[node.output[0]] = owner[node.input[0]]
            continue
        own = next((owner[name] for name in node.input if name in owner), None)
        before = next((found[name] for name in node.input if name in found), None)
        if (layer := before if own is None else own) is not None:
            found |= dict.fromkeys([node.name, *node.output], layer)
        if own is not None and node.op_type == "Add":  # the bias of a product whose weight was transposed, and renamed
            products = [makers[name] for name in node.input if name in makers and makers[name].op_type == "MatMul"]
            found |= {name: own for product in products for name in (product.name, *product.output)}
    return found


def _named(name: str, layer_of: dict[str, str]) -> str | None:
    """The layer of a kernel; None: it is not in the file."""
    while name not in layer_of and (shorter := _FUSED.sub("", name)) != name:
        name = shorter
    return layer_of.get(name)
