"""The table of layers: parameters, multiply-accumulates and bits of each weight of a model."""

from torch import nn

from effdl.measure.bits import arithmetic_bits
from effdl.measure.eval_mode import eval_mode, example_input
from effdl.measure.macs import LayerMacs, Traced, trace
from effdl.measure.size import distinct, parameters, sizes
from effdl.nn.call_graph import CallGraph
from effdl.nn.fold import foldable_norms
from effdl.nn.layers import plain_type


def per_layer(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    stored: dict[str, dict] | None = None,
    traced: Traced | None = None,
) -> list[dict]:
    """One row per weight, in the order of `effdl.nn.layers.weights`, for one input (C, H, W).

    Keys: ``name``, ``type``, ``shape``, ``params`` and ``params_nonzero`` (weight and bias), ``weights`` and
    ``weights_nonzero`` (elements of the weight), ``weight_sparsity``, ``macs``, ``macs_nonzero``, ``share_of_params``
    (of the whole model, 0 to 1), ``weight_bits``, ``activation_bits`` and ``inputs`` (mean bits and number of the
    activations that it is multiplied with), ``arithmetic_bits`` (width of the weight in the products), ``table``
    (scales or codebook values beside the weight), ``norm_params`` and ``folded_biases`` (parameters of the batch norm
    that folds into the layer, 0 without one, and biases that the layer has then), ``size_bytes`` (of the weight in the
    file) and ``share_of_size``. Parameters shared by two layers are counted in the first one, so that columns add up;
    products of activations belong to no weight and to no row.

    Args:
        stored: the result of `storage.breakdown`, how the file stores each tensor; None: as plain floats.
        traced: what `trace` gave for this model and input, if it was called before.
    """
    _, layers = traced or trace(model, input_shape)
    with eval_mode(model):
        params, _ = sizes(parameters(model))
        first_uses = {
            (id(module), name) for module, name in distinct(a for layer in layers for a in _attributes(layer))
        }
        norms = _folding_norms(model, input_shape)
        return [
            _row(layer, params, first_uses) | _bits(layer, stored) | _folded(layer, norms.get(layer.name), first_uses)
            for layer in layers
        ]


def _folding_norms(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, nn.Module]:
    """The batch norms that fold into the layers before them, by the layers' names."""
    found = foldable_norms(CallGraph(model, example_input(model, (1, *input_shape))))
    return {layer: model.get_submodule(norm) for layer, norm in found.items()}


def _folded(layer: LayerMacs, norm: nn.Module | None, first_uses: set[tuple[int, str]]) -> dict:
    """The columns of a weight's row about the batch norm that folds into the layer."""
    if norm is not None:
        return {"norm_params": sum(p.numel() for p in norm.parameters()), "folded_biases": norm.num_features}
    biases, _ = sizes((m, name) for m, name in _attributes(layer)[1:] if (id(m), name) in first_uses)
    return {"norm_params": 0, "folded_biases": biases}


def _bits(layer: LayerMacs, stored: dict[str, dict] | None) -> dict:
    """The columns of a weight's row about bits and bytes."""
    weight = getattr(layer.module, layer.attribute)
    float_bits = 8 * weight.dtype.itemsize
    plain = {"kind": "dense", "bits": float_bits, "table": 0, "bytes": weight.nbytes}
    kept = (stored or {}).get(f"{layer.name}.{layer.attribute}".lstrip("."), plain)
    total = sum(part["bytes"] for part in stored.values()) if stored else None
    arithmetic = arithmetic_bits(kept["kind"], kept["bits"], float_bits)
    return {
        "weight_bits": kept["bits"],
        "arithmetic_bits": float_bits if layer.use.changed else arithmetic,  # codes become floats
        "table": kept["table"],
        "activation_bits": _mean(layer.use.input_bits, layer.use.inputs) if layer.use.inputs else float_bits,
        "inputs": layer.use.inputs,
        "size_bytes": kept["bytes"],
        "share_of_size": kept["bytes"] / total if total else None,
    }


def _mean(total: int, count: int) -> float:
    """A mean, as an integer where it is one."""
    return total / count if total % count else total // count


def _attributes(layer: LayerMacs) -> list[tuple[nn.Module, str]]:
    """Module and attribute of a weight and of its bias, if there is one."""
    bias = "in_proj_bias" if layer.attribute == "in_proj_weight" else "bias"
    names = [layer.attribute] if getattr(layer.module, bias) is None else [layer.attribute, bias]
    return [(layer.module, name) for name in names]


def _row(layer: LayerMacs, model_params: int, first_uses: set[tuple[int, str]]) -> dict:
    """The row of one weight; `first_uses` are the (id(module), attribute) whose parameters are counted."""
    weight_params, weight_nonzero = sizes([(layer.module, layer.attribute)])
    params, params_nonzero = sizes((m, name) for m, name in _attributes(layer) if (id(m), name) in first_uses)
    return {
        "name": layer.name,
        "type": plain_type(layer.module).__name__,
        "shape": list(getattr(layer.module, layer.attribute).shape),
        "params": params,
        "params_nonzero": params_nonzero,
        "weights": weight_params,
        "weights_nonzero": weight_nonzero,
        "weight_sparsity": 1 - weight_nonzero / weight_params if weight_params else None,
        "macs": layer.use.macs,
        "macs_nonzero": layer.use.macs_nonzero,
        "share_of_params": params / model_params if model_params else None,
    }
