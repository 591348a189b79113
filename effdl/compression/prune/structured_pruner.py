"""StructuredPruner: removes the filters of lowest score until the cost of a model is within a budget."""

import copy
import logging
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from effdl.compression.prune.amounts import EQUAL, layer_amounts
from effdl.compression.prune.costs import Target, costs
from effdl.compression.prune.dependency import LAYERS, Dependencies, Group, library
from effdl.models.structure import changes
from effdl.nn.layers import check_exclude
from effdl.utils.errors import RunError, UserError

Scope = Literal["layer", "global"]
_Block = tuple[int, list[int]]  # index of a group, and the units of it that are removed at once
Score = Callable[[Any], Tensor | None]  # an importance of torch-pruning: scores the filters of a group
_TOLERANCE = 1e-3  # largest error of the logits after removing filters, relative to the largest logit
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StructuredPruner:
    """Removes filters of a model, those of lowest score.

    Args:
        input_shape: shape (C, H, W) of an image.
        target: the cost: the number of ``filters``, ``params`` or ``macs``.
        scope: ``layer``: the same fraction of each layer; ``global``: one ranking for all layers.
        round_to: the number of filters that are left of a layer is a multiple of it, if any are removed.
        exclude: patterns of the names of layers whose filters are not removed.
        amounts: path of a JSON file that says how much of each layer to remove relative to the others (see
            `layer_amounts`); a group has the smallest amount of its layers. The scope is then ``layer``.
    """

    input_shape: tuple[int, int, int]
    target: Target
    scope: Scope
    round_to: int
    exclude: list[str]
    amounts: str | None = None

    def cost(self, model: nn.Module) -> int:
        """The cost of a model, which is put into eval mode; UserError if none of its filters can be removed."""
        dependencies, images = self._dependencies(model)
        return costs(model, images[:1], self.target, [group for group, _ in self._groups(dependencies)]).total

    def down_to(self, model: nn.Module, budget: float, score: Score) -> nn.Module:
        """Remove the filters of lowest score, as few as reduce the cost to at most `budget`; in place.

        Raises:
            UserError: the criterion has no scores for this model, or the budget is below the lowest possible cost.
            RunError: the dependency graph does not describe the model correctly.
        """
        dependencies, images = self._dependencies(model)
        removable = self._groups(dependencies)
        scored = [(group, amount, score(group.parts)) for group, amount in removable]
        scored = [
            (group, amount, _unit_scores(group, values)) for group, amount, values in scored if values is not None
        ]
        if not scored:
            raise UserError("criterion=bn: no removable filter is followed by a batch norm; take l1, l2 or taylor")
        groups, amounts, scores = zip(*scored, strict=True)
        cost = costs(model, images[:1], self.target, [group for group, _ in removable])
        multiples = [_unit_multiple(group, self.round_to) for group in groups]
        blocks = removal_order(scores, multiples, self.scope if self.amounts is None else "layer", amounts)

        def left(blocks: list[_Block]) -> int:
            return cost.without(_sum_of(groups[number].takes[unit] for number, units in blocks for unit in units))

        if left(blocks) > budget:
            raise UserError(
                f"{self.target}: {budget / cost.total:.3g} of what there is cannot be reached, at the least "
                f"{left(blocks) / cost.total:.3g} is left (with round_to={self.round_to}, exclude={self.exclude})"
            )
        chosen = fewest(blocks, lambda some: left(some) <= budget)
        removed = [
            (group, [unit for number, units in chosen if number == index for unit in units])
            for index, group in enumerate(groups)
        ]
        removed = [(group, units) for group, units in removed if units]
        masked = dependencies.masked(removed)
        for group, units in removed:
            dependencies.remove(group, units)
        _verify_removal(model, masked, images)
        log.info("filters: %s from %d to %d", self.target, cost.total, left(chosen))
        return model

    def try_out(self, model: nn.Module, level: float, score: Score) -> None:
        """Remove filters of a copy of an untrained model, to find out before any training whether that works.

        Args:
            level: of the method's config, see `part_left`.
            score: one that needs no gradients, in the place of the method's.

        Raises:
            UserError: whatever `cost` and `down_to` find wrong.
        """
        model = copy.deepcopy(model)
        try:
            self.down_to(model, self.cost(model) * part_left(level), score)
        except (UserError, RunError) as error:
            raise UserError(f"prune={level}: {error}") from error
        except Exception as error:  # of any type, where torch-pruning misunderstands the model
            raise UserError(f"prune={level}: filters cannot be removed from this model: {error!r}") from error

    def _dependencies(self, model: nn.Module) -> tuple[Dependencies, Tensor]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((4, *self.input_shape), generator=generator).to(next(model.parameters()).device)
        return Dependencies(model.eval(), images[:1]), images

    def _groups(self, dependencies: Dependencies) -> list[tuple[Group, float]]:
        """The groups whose filters can be removed, each with its amount."""
        layers = _layer_names(dependencies.model)
        amount_of = dict(zip(layers, layer_amounts(layers, self.exclude, self.amounts), strict=True))
        groups = dependencies.groups({name for name, amount in amount_of.items() if amount == 0})
        if not groups:
            amounts = f", amounts={self.amounts}" if self.amounts else ""
            raise UserError(f"exclude={self.exclude}{amounts}: no layer is left whose filters can be removed")
        return [(group, min(amount_of[dependencies.names[layer]] for layer in group.layers())) for group in groups]


def part_left(level: float) -> float:
    """The part of a cost that a level leaves: below 1 it is the fraction that goes, above 1 the divisor."""
    return 1 - level if level < 1 else 1 / level


def fewest(blocks: list[_Block], enough: Callable[[list[_Block]], bool]) -> list[_Block]:
    """The shortest sequence of blocks, from the first on, that is enough, without those that it does not need because
    of a later, larger block. Of each group the last blocks are left out first.
    """
    chosen = blocks[: bisect_left(range(len(blocks)), True, key=lambda count: enough(blocks[:count]))]
    final = set()  # groups of which all chosen blocks are needed
    for position in reversed(range(len(chosen))):
        number = chosen[position][0]
        if number not in final and enough(without := chosen[:position] + chosen[position + 1 :]):
            chosen = without
        else:
            final.add(number)
    return chosen


def check_removal(model: nn.Module, exclude: list[str], amounts: str | None = None) -> None:
    """Check, before any training, that torch-pruning is installed and that patterns and amounts fit the model.

    Raises:
        UserError: torch-pruning is not installed, a pattern matches no layer, or the amounts are not allowed.
    """
    library()
    check_exclude(model, exclude)
    layer_amounts(_layer_names(model), [], amounts)


def _layer_names(model: nn.Module) -> list[str]:
    """The names of the layers that have filters."""
    return [name for name, module in model.named_modules() if isinstance(module, LAYERS)]


def removal_order(
    scores: Sequence[Tensor], multiples: list[int], scope: Scope, amounts: Sequence[float] | None = None
) -> list[_Block]:
    """The order in which blocks of units are removed.

    After every block the number of units that are left of a group is a positive multiple of its multiple. Of equal
    scores, those of the earlier group and the earlier unit are removed first.

    Args:
        scores: one tensor (units,) for each group.
        multiples: the multiple of each group.
        scope: ``layer``: at any point a group with the amount a has kept about the fraction ``(1 - a)^c`` of its units,
            with the same c for all groups (as in `topk_mask.allocate`); where this is equal, lower scores are removed
            first. ``global``: lower scores are removed first.
        amounts: the amount of each group, above 0 and below 1; None: all are equal.
    """
    amounts = amounts or [EQUAL] * len(scores)
    blocks: list[tuple[tuple[float, ...], int, list[int]]] = []
    for number, (values, multiple, amount) in enumerate(zip(scores, multiples, amounts, strict=True)):
        order, count, start, highest = values.argsort(stable=True).tolist(), len(values), 0, -math.inf
        for end in range(count % multiple or multiple, count - multiple + 1, multiple):
            highest = max(highest, float(values[order[end - 1]]))
            power = math.log1p(-end / count) / math.log1p(-amount) if end < count else math.inf
            key = (power, highest) if scope == "layer" else (highest,)
            blocks.append((key, number, order[start:end]))
            start = end
    return [(number, units) for _, number, units in sorted(blocks, key=lambda block: block[0])]


def _unit_scores(group: Group, scores: Tensor) -> Tensor:
    """The mean score of the filters of each unit; NaN (of a dead layer) counts as zero."""
    return torch.stack([scores[unit].mean() for unit in group.units]).nan_to_num().cpu()


def _unit_multiple(group: Group, round_to: int) -> int:
    """The number of units of which every multiple has a number of filters that is a multiple of `round_to`."""
    return round_to // math.gcd(round_to, len(group.units[0]))


def _sum_of(counters: Any) -> Counter:
    """The sum of counters."""
    total: Counter = Counter()
    for counter in counters:
        total.update(counter)
    return total


@torch.no_grad()
def _verify_removal(model: nn.Module, masked: nn.Module, images: Tensor) -> None:
    """Check that removing filters has the effect of setting them to zero, and that the model can be stored."""
    logits, expected = model(images), masked(images)
    if not torch.allclose(logits, expected, rtol=0, atol=_TOLERANCE * float(expected.abs().max().clamp(min=1e-3))):
        raise RunError(
            "filters: this model's layers depend on each other in a way that is not understood; exclude those layers "
            "whose channels are reshaped, split or shuffled"
        )
    try:
        changes(model, masked)
    except RuntimeError as error:
        raise RunError(f"filters: {error}; exclude the layers before it") from error
