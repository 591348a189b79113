"""Replacement of layers by their factors, at ranks that one rule chooses for all of them."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from effdl.compression.factorize.factors import Factors
from effdl.compression.factorize.positions import Positions, trace
from effdl.compression.factorize.ranks import allocate, by_energy, by_ratio, fixed, lost
from effdl.nn.layers import excluded
from effdl.utils.errors import UserError

log = logging.getLogger(__name__)

Rule = Literal["ratio", "energy", "macs", "params"]
FactorsOf = Callable[[nn.Module, Positions], Factors | None]  # None: the layer is not factorized


@dataclass(frozen=True)
class _Candidate:
    """A layer that may be replaced by factors."""

    name: str
    layer: nn.Module
    positions: Positions
    factors: Factors

    @property
    def params(self) -> int:
        """Number of weights of the layer before it is factorized."""
        return self.layer.weight.numel()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer before it is factorized."""
        return self.layer.weight.numel() * self.positions.outputs

    def costs(self, ranks: tuple) -> dict[str, int | Tensor]:
        """``params`` and ``macs`` of the factors; each rank is a number or a tensor of numbers."""
        weights = self.factors.weights(*ranks)
        macs = sum(weight * uses for weight, uses in zip(weights, self.factors.uses, strict=True))
        return {"params": sum(weights), "macs": macs}

    def saves(self, ranks: tuple) -> bool | Tensor:
        """Whether the factors have both fewer weights and fewer multiply-accumulates than the layer."""
        costs = self.costs(ranks)
        return (costs["params"] < self.params) & (costs["macs"] < self.macs)


def factorized(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    factors_of: FactorsOf,
    *,
    level: float,
    by: Rule,
    rank: int | None,
    exclude: list[str],
) -> nn.Module:
    """Replace every plain layer (see `positions.trace`) by its factors, where that saves weights and MACs; in place.

    Args:
        input_shape: shape (C, H, W) of an image.
        factors_of: returns the factors of a layer, or None for a layer that is not factorized.
        level: the fraction to remove of what `by` names.
        by: "ratio": the full rank of every mode; "energy": the sum of the squared singular values of every mode, of
            which at most `level` is removed; "macs" or "params": those of the whole model, of which at least `level` is
            removed (at most one rank of one layer more), by one criterion for all layers (`ranks.allocate`).
        rank: the rank of every layer; if it is given, `level` and `by` are not used.
        exclude: patterns of the names of layers that are not factorized.

    Raises:
        UserError: a pattern matches no layer, or `level` cannot be reached.
    """
    totals, layers, candidates = _candidates(model, input_shape, factors_of, exclude)
    if rank is not None:
        ranks = [fixed(candidate.factors.spectra, rank) for candidate in candidates]
    elif by in totals:
        ranks = _within_budget(candidates, level, by, totals[by])
    else:
        rule = {"ratio": by_ratio, "energy": by_energy}[by]
        ranks = [rule(candidate.factors.spectra, level) for candidate in candidates]
    pairs = zip(candidates, ranks, strict=True)
    chosen = [(candidate, ranks) for candidate, ranks in pairs if ranks and candidate.saves(ranks)]
    _report(chosen, layers, totals)
    return _with_modules(model, {candidate.layer: candidate.factors.build(*ranks) for candidate, ranks in chosen})


def check_factorizable(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    factors_of: FactorsOf,
    *,
    level: float,
    by: Rule,
    rank: int | None,
    exclude: list[str],
) -> None:
    """Check, before any training, that layers of an untrained model can be replaced and the level be reached.

    What can be saved follows from the shapes, so that nothing is decomposed: tensors on the device ``meta`` have no
    values. The arguments are those of `factorized`.

    Raises:
        UserError: a pattern matches no layer, none can be replaced, or `level` cannot be reached.
    """

    def shapes_of(layer: nn.Module, positions: Positions) -> Factors | None:
        return factors_of(copy.deepcopy(layer).to("meta"), positions)

    totals, _, candidates = _candidates(copy.deepcopy(model).eval(), input_shape, shapes_of, exclude)
    if not candidates:
        raise UserError(f"factorize={level}: the model has no layer that this method factorizes (exclude={exclude})")
    if rank is None and by in totals:
        _check_budget([_options(candidate, by)[1] for candidate in candidates], candidates, level, by, totals[by])


def _candidates(
    model: nn.Module, input_shape: tuple[int, int, int], factors_of: FactorsOf, exclude: list[str]
) -> tuple[dict[str, int], int, list[_Candidate]]:
    """What the whole model costs, how many plain layers it has, and those of them that may be replaced.

    Raises:
        UserError: a pattern matches no layer.
    """
    macs, positions = trace(model, input_shape)
    totals = {"macs": macs, "params": sum(parameter.numel() for parameter in model.parameters())}
    plain = [(name, module) for name, module in model.named_modules() if module in positions]
    out = excluded([name for name, _ in plain], exclude)
    possible = [(name, module, factors_of(module, positions[module])) for name, module in plain if name not in out]
    found = [_Candidate(name, layer, positions[layer], factors) for name, layer, factors in possible if factors]
    return totals, len(plain), found


def _options(candidate: _Candidate, by: Literal["macs", "params"]) -> tuple[Tensor, Tensor, Tensor]:
    """The ranks with which a layer's factors save something, what each costs, and at last the layer itself.

    Returns:
        Ranks (n, modes), costs (n + 1,), and which of all ranks these are (bool).
    """
    spectra = candidate.factors.spectra
    ranks = torch.cartesian_prod(*(torch.arange(1, len(spectrum) + 1) for spectrum in spectra)).view(-1, len(spectra))
    use = candidate.saves(ranks.unbind(1))
    cost = candidate.costs(ranks.unbind(1))[by]
    return ranks[use], torch.cat([cost[use], torch.tensor([getattr(candidate, by)])]), use


def _check_budget(
    costs: list[Tensor], candidates: list[_Candidate], level: float, by: Literal["macs", "params"], total: int
) -> int:
    """What the candidates may cost so that at least the fraction `level` of `total` is removed.

    Raises:
        UserError: so much cannot be removed.
    """
    others = total - sum(getattr(candidate, by) for candidate in candidates)
    least = others + sum(int(cost.min()) for cost in costs)
    budget = int((1 - level) * total)
    if budget < least:
        raise UserError(
            f"factorize={level} by {by}: with the smallest factors {1 - least / total:.3f} of the {by} go"
            " (allowed: less than that)"
        )
    return budget - others


def _within_budget(
    candidates: list[_Candidate], level: float, by: Literal["macs", "params"], total: int
) -> list[tuple[int, ...] | None]:
    """Ranks by which at least the fraction `level` of `total` is removed; None for a layer that is not replaced.

    Raises:
        UserError: so much cannot be removed.
    """
    options = [_options(candidate, by) for candidate in candidates]
    costs = [cost for _, cost, _ in options]
    budget = _check_budget(costs, candidates, level, by, total)
    losses = [
        torch.cat([lost(candidate.factors.spectra).flatten()[use], torch.zeros(1)])
        for candidate, (_, _, use) in zip(candidates, options, strict=True)
    ]
    chosen = allocate(costs, losses, budget)
    pairs = zip((ranks for ranks, _, _ in options), chosen, strict=True)
    return [tuple(ranks[option].tolist()) if option < len(ranks) else None for ranks, option in pairs]


def _with_modules(model: nn.Module, modules: dict[nn.Module, nn.Module]) -> nn.Module:
    """Replace modules of a model, in place; a module that occurs twice is replaced at both."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in modules:
                parent._modules[name] = modules[child]
    return modules.get(model, model)


def _report(chosen: list[tuple[_Candidate, tuple[int, ...]]], layers: int, totals: dict[str, int]) -> None:
    """Log which layers are replaced, and the fraction of the model's MACs and parameters that is left."""
    kept = {
        key: 1 - sum(getattr(candidate, key) - candidate.costs(ranks)[key] for candidate, ranks in chosen) / total
        for key, total in totals.items()
    }
    log.info(
        "%d of %d linear and ungrouped convolution layers factorized, where that saves: %.2f%% of the MACs and %.2f%%"
        " of the parameters left; ranks: %s",
        len(chosen),
        layers,
        100 * kept["macs"],
        100 * kept["params"],
        ", ".join(f"{candidate.name} {'x'.join(map(str, ranks))}" for candidate, ranks in chosen) or "none",
    )
