"""How much accuracy each layer costs: one layer at a time is pruned or quantized, and the others are left alone."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from effdl.compression.prune.topk_mask import topk_mask
from effdl.nn.fake_quant import bounds, fake_quantize
from effdl.nn.layers import weights


def pruned(weight: Tensor, level: float) -> Tensor:
    """The weight without the fraction `level` of its elements, those of smallest magnitude."""
    (keep,) = topk_mask([weight.abs()], round(level * weight.numel()))
    return torch.where(keep, weight, 0.0)


def quantized(weight: Tensor, bits: float) -> Tensor:
    """The weight in integers of so many bits, symmetric, with one scale per output (first dimension)."""
    low, high = bounds(int(bits), signed=True)
    largest = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(weight.dtype).tiny)
    scale = (largest / max(high, 1)).view(-1, *[1] * (weight.ndim - 1))
    return fake_quantize(weight, scale, 0.0, max(low, -high) if high else low, high)


CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {"prune": pruned, "quantize": quantized}


def analyse(
    model: nn.Module,
    accuracy: Callable[[nn.Module], float],
    levels: dict[str, list[float]],
    known: list[dict],
) -> Iterator[dict]:
    """Yield a row per layer, change and level: ``layer``, ``change``, ``level``, ``top1`` of the changed model.

    The model is as before after each row.

    Args:
        levels: of "prune" (fractions) and "quantize" (bits).
        known: rows that are there already; they are yielded again, not measured.
    """
    there = {(row["layer"], row["change"], row["level"]): row for row in known}
    for name, module, attribute in weights(model):
        weight = getattr(module, attribute)
        original = weight.detach().clone()
        for change, values in levels.items():
            for level in values:
                if (name, change, level) not in there:
                    with torch.no_grad():
                        weight.copy_(CHANGES[change](original, level))
                    top1 = accuracy(model)
                    with torch.no_grad():
                        weight.copy_(original)
                    there[name, change, level] = {"layer": name, "change": change, "level": level, "top1": top1}
                yield there[name, change, level]


def tolerated(rows: list[dict], baseline: float, tolerance: float) -> dict[str, float]:
    """For each layer the largest fraction that can be pruned alone at a loss of at most `tolerance` (0 if none).

    A level counts only if all smaller ones hold too.
    """
    amounts: dict[str, float] = {}
    for layer in dict.fromkeys(row["layer"] for row in rows if row["change"] == "prune"):
        amounts[layer] = 0.0
        mine = sorted((row["level"], row["top1"]) for row in rows if (row["layer"], row["change"]) == (layer, "prune"))
        for level, top1 in mine:
            if baseline - top1 > tolerance:
                break
            amounts[layer] = level
    return amounts
