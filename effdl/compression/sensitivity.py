"""Sensitivity analysis: the accuracy of a model in which only one layer at a time is pruned or quantized."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from effdl.compression.prune.topk_mask import topk_mask
from effdl.nn.fake_quant import bounds, fake_quantize
from effdl.nn.layers import weights


def pruned(weight: Tensor, level: float) -> Tensor:
    """A weight whose fraction `level` of smallest magnitude is set to zero."""
    (keep,) = topk_mask([weight.abs()], round(level * weight.numel()))
    return torch.where(keep, weight, 0.0)


def quantized(weight: Tensor, bits: float) -> Tensor:
    """A weight rounded to symmetric integer codes of `bits` bits, with one scale per output (first dimension)."""
    low, high = bounds(int(bits), signed=True)
    largest = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(weight.dtype).tiny)
    scale = (largest / max(high, 1)).view(-1, *[1] * (weight.ndim - 1))
    return fake_quantize(weight, scale, 0.0, max(low, -high) if high else low, high)


_MOST_BITS = 8  # that LSQ takes
_Change = Callable[[Tensor, float], Tensor]  # a weight, changed to a level
CHANGES: dict[str, _Change] = {"prune": pruned, "quantize": quantized}


def analyse(
    model: nn.Module,
    measure: Callable[[nn.Module], dict],
    levels: Mapping[str, Sequence[float]],
    known: Sequence[dict],
    changes: Mapping[str, _Change] = CHANGES,
) -> Iterator[dict]:
    """Yield a row per layer, change and level: ``layer``, ``change``, ``level``, and the columns of the changed model.

    After each row the model has its original weights again.

    Args:
        measure: gives the columns of a model.
        levels: for "prune" the fractions of weights to set to zero, for "quantize" the numbers of bits.
        known: rows of an earlier analysis; they are yielded again instead of being measured.
        changes: what is done to a weight.
    """
    done = {(row["layer"], row["change"], row["level"]): row for row in known}
    for name, module, attribute in weights(model):
        weight = getattr(module, attribute)
        original = weight.detach().clone()
        for change, values in levels.items():
            for level in values:
                if (name, change, level) not in done:
                    with torch.no_grad():
                        weight.copy_(changes[change](original, level))
                    columns = measure(model)
                    with torch.no_grad():
                        weight.copy_(original)
                    done[name, change, level] = {"layer": name, "change": change, "level": level, **columns}
                yield done[name, change, level]


def tolerated_bits(rows: list[dict], baseline: float, tolerance: float) -> dict[str, int]:
    """For each layer the fewest bits up to 8 whose loss of top-1 is at most `tolerance`; 8 if there are none.

    A number of bits counts only if all larger ones of the layer are within the tolerance too.
    """
    measured = [row for row in rows if row["change"] == "quantize" and row["level"] <= _MOST_BITS]
    found = _harshest(measured, lambda row: -row["level"], baseline, tolerance, _MOST_BITS)
    return {layer: int(bits) for layer, bits in found.items()}


def tolerated(rows: list[dict], baseline: float, tolerance: float) -> dict[str, float]:
    """For each layer the largest level of "prune" whose loss of top-1 is at most `tolerance`; 0 if there is none.

    A level counts only if all smaller levels of the layer are within the tolerance too.
    """
    measured = [row for row in rows if row["change"] == "prune"]
    return _harshest(measured, lambda row: row["level"], baseline, tolerance, 0.0)


def _harshest(
    rows: list[dict], harshness: Callable[[dict], float], baseline: float, tolerance: float, none: float
) -> dict[str, float]:
    """For each layer the level before the mildest that is not tolerated; `none` if that is the layer's first."""
    found: dict[str, float] = {}
    for layer in dict.fromkeys(row["layer"] for row in rows):
        of_layer = sorted((row for row in rows if row["layer"] == layer), key=harshness)
        within = takewhile(lambda row: baseline - row["top1"] <= tolerance, of_layer)
        found[layer] = [none, *(row["level"] for row in within)][-1]
    return found
