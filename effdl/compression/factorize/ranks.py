"""The choice of the rank of each layer, by pure functions of the spectra and of the cost of each rank."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Exponents of 2 between which bisection seeks the price: the loss that weighs as much as the cost of all layers.
_LOWEST, _HIGHEST = -30, 60
_NOISE = 2.0**_LOWEST  # gains (of squared relative error) up to this one count as rounding errors


def by_ratio(spectra: Sequence[Tensor], level: float) -> tuple[int, ...]:
    """For every mode the fraction 1 - level of its full rank, rounded, and at least 1."""
    return tuple(max(1, round((1 - level) * len(spectrum))) for spectrum in spectra)


def by_energy(spectra: Sequence[Tensor], level: float) -> tuple[int, ...]:
    """For every mode the smallest rank whose squared singular values keep the fraction 1 - level of their sum."""
    kept = [torch.cumsum(spectrum, 0) for spectrum in spectra]
    return tuple(min(int((sums < 1 - level).sum()) + 1, len(sums)) for sums in kept)


def fixed(spectra: Sequence[Tensor], rank: int) -> tuple[int, ...]:
    """The same rank for every mode, or its full rank if that is smaller."""
    return tuple(min(rank, len(spectrum)) for spectrum in spectra)


def lost(spectra: Sequence[Tensor]) -> Tensor:
    """Squared relative error at all ranks, (R,) or (R1, R2); the first entry is that of rank 1.

    It is exact for one mode (Eckart & Young 1936). For two modes it is the sum of both errors, an upper bound (De
    Lathauwer et al. 2000, "A multilinear singular value decomposition", property 10).
    """
    tails = [spectrum.sum() - torch.cumsum(spectrum, 0) for spectrum in spectra]
    return tails[0] if len(tails) == 1 else tails[0][:, None] + tails[1]


def allocate(costs: list[Tensor], losses: list[Tensor], budget: int) -> list[int]:
    """Choose one option for each layer such that the costs sum to at most the budget and the sum of losses is small.

    All layers share one price of cost, found by bisection: each layer takes the option of least loss + price x cost
    (the choice of ranks in Idelbayev & Carreira-Perpiñán 2020, "Low-rank compression of neural nets: learning the
    rank of each layer"). What is left of the budget is then spent on the layers that gain most from it, until it
    is not enough for a better option of any layer.

    Args:
        costs, losses: one tensor (options,) for each layer.
        budget: at least the sum of the smallest costs.

    Returns:
        The index of the chosen option of each layer.
    """
    whole = float(sum(cost.max() for cost in costs))

    def at(price: float) -> list[int]:
        return [int((loss + price * cost / whole).argmin()) for loss, cost in zip(losses, costs, strict=True)]

    def left(options: list[int]) -> int:
        return budget - sum(int(cost[option]) for cost, option in zip(costs, options, strict=True))

    chosen, low, high = [int(cost.argmin()) for cost in costs], _LOWEST, _HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        options = at(2.0**middle)
        if left(options) >= 0:
            chosen, high = options, middle
        else:
            low = middle
    return _spend(costs, losses, chosen, left(chosen))


def _spend(costs: list[Tensor], losses: list[Tensor], chosen: list[int], left: int) -> list[int]:
    """Spend what is left of a budget on better options, the option with the largest gain first."""
    while True:
        best = [
            int(torch.where(cost <= cost[option] + left, loss, torch.inf).argmin())
            for cost, loss, option in zip(costs, losses, chosen, strict=True)
        ]
        gains = [float(loss[old] - loss[new]) for loss, old, new in zip(losses, chosen, best, strict=True)]
        layer = max(range(len(gains)), key=gains.__getitem__, default=None)
        if layer is None or gains[layer] <= _NOISE:
            return chosen
        left -= int(costs[layer][best[layer]] - costs[layer][chosen[layer]])
        chosen = [*chosen[:layer], best[layer], *chosen[layer + 1 :]]
