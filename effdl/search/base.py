"""A base: the dense model, or what is left of it without some filters, from which weights are pruned and quantized."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from torch import nn

from effdl.measure.course import course_score
from effdl.measure.scores import CIFAR100, Reference, integer_bits, micronet_score
from effdl.search.choices import Choice, Family, LayerTable
from effdl.search.forecast import accuracies, accuracy_lost, expected
from effdl.search.plan import Plan, compressed, stored_bytes
from effdl.search.solver import choose

_ROUNDS = 4  # of correcting what a file has besides the coded weights
_ENOUGH = 0.98  # of a budget, from which on a file is large enough


@dataclass
class Base:
    """A trained model with the tables of its layers.

    Args:
        filters: fraction of the MACs that removed filters save; 0: the dense model.
        row: what was measured of it.
        model: read from its file.
        description: of the stored model.
        tables: one for each layer.
        family: what the tables' entries stand for.
        macs: multiply-accumulates of each layer, by name.
        ratios: by metric, what trained models had, as part of what they had by the same plan before their training.
        lost: by accuracy, of trained models, see `accuracy_lost`.
        lengths: of files that were written, by what was done to each layer.
        reference: of the MicroNet score.
    """

    filters: float
    row: Mapping
    model: nn.Module
    description: dict
    tables: Sequence[LayerTable]
    family: Family
    macs: Mapping[str, int]
    ratios: dict[str, float] = field(default_factory=dict)
    lost: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    lengths: dict[tuple[Choice, ...], int] = field(default_factory=dict)
    reference: Reference = CIFAR100

    def afresh(self) -> "Base":
        """The same as it was before anything was learned from trained models."""
        return replace(self, ratios={}, lost={})

    @property
    def name(self) -> tuple[float, int]:
        """What tells it from the other bases of a search."""
        return self.filters, self.family.activations

    @property
    def sizes(self) -> dict[str, int]:
        """Elements of each layer's weight."""
        return {table.name: table.numel for table in self.tables}

    @cached_property
    def costs(self) -> dict[str, list[np.ndarray]]:
        """What the options of each layer cost, by metric; the course's score only if all layers have the same bits."""
        found = {
            "size_bytes": [table.size for table in self.tables],
            "params_nonzero": [table.nonzero for table in self.tables],
            "macs_nonzero": [table.nonzero * (self.macs[table.name] / table.numel) for table in self.tables],
        }
        if self._bits:
            kept = np.array([1 - option.sparsity for option in self.family.options])  # zeros of rounding count
            found["course_score"] = [kept * course_score(table.numel, 0, *self._bits) for table in self.tables]
        return {**found, "micronet_score": [self._micronet(table) for table in self.tables]}

    def _micronet(self, table: LayerTable) -> np.ndarray:
        """What the options of a layer are of the MicroNet score."""
        bits = np.array([integer_bits(option.bits) for option in self.family.options])
        storage = np.minimum(table.numel * bits, table.nonzero * bits + table.numel) / 32
        macs = table.nonzero * (self.macs[table.name] / table.numel)
        operations = macs * (np.maximum(bits, self.family.activations) + 32) / 32
        return micronet_score(storage, operations, self.reference)

    @property
    def _bits(self) -> tuple[int, int] | None:
        """The bits of all weights and those of all activations; None if layers may differ."""
        bits = {option.bits for option in self.family.options}
        return (bits.pop(), self.family.activations) if len(bits) == 1 else None

    def plan(self, budgets: Mapping[str, float]) -> Plan:
        """The plan of least predicted loss within budgets; if there is none, the harshest for the tightest of them.

        What the model has besides its layers' weights is taken off the budgets. Of the file that is not known before
        it is written, so it is corrected by writing it.

        Args:
            budgets: by metric, for the trained model.
        """
        rest, best = dict(self._beside), None
        size = budgets.get("size_bytes", 0.0)
        for _ in range(_ROUNDS if size else 1):
            inside = {key: budget / self._ratio(key) - rest[key] for key, budget in budgets.items()}
            chosen = choose([table.losses for table in self.tables], self.costs, inside)
            if chosen is None:
                return best or self._made(self._least(self._tightest(budgets)))
            found = self._made(chosen)
            if best is None or _nearer(found, best, size):
                best = found
            if _ENOUGH * size <= found.predicted["size_bytes"] <= size:
                break
            written = found.predicted["size_bytes"] / self._ratio("size_bytes")
            rest["size_bytes"] = written - self._sum("size_bytes", chosen)
        return best

    def learn(self, plan: Plan, row: Mapping) -> None:
        """Correct what is predicted by what a trained model has.

        Args:
            plan: by which it was made, from this base.
            row: what was measured of it.
        """
        for key in self.costs:
            if plan.predicted[key] > 0 and row[key] is not None:
                self.ratios[key] = self._ratio(key) * row[key] / plan.predicted[key]
        grown = plan.predicted["val_loss"] - self.row["val_loss"]
        for key, value in accuracies(row).items():
            self.lost.setdefault(key, []).append((grown, self.row[key] - value))

    def _ratio(self, key: str) -> float:
        """The correction of a metric."""
        return self.ratios.get(key, 1.0)

    def floor(self, key: str) -> float:
        """The least that a metric can have in any plan."""
        return (self._sum(key, self._least(key)) + self._beside[key]) * self._ratio(key)

    def _tightest(self, budgets: Mapping[str, float]) -> str:
        """The metric whose least value is largest as a part of its budget."""
        return max(budgets, key=lambda key: self.floor(key) / budgets[key])

    def _least(self, key: str) -> list[int]:
        """The options of least cost."""
        return [int(cost.argmin()) for cost in self.costs[key]]

    @cached_property
    def _beside(self) -> dict[str, float]:
        """What the model has besides its layers' weights, by metric; of the file, what the smallest one has."""
        smallest = self._least("size_bytes")
        params = self.row["params_nonzero"] - sum(table.numel for table in self.tables)
        found = {
            "size_bytes": self._written(self._layers(smallest)) - self._sum("size_bytes", smallest),
            "params_nonzero": params,
            "macs_nonzero": self.row["macs_nonzero"] - sum(self.macs.values()),
        }
        others = self.row["macs"] - sum(self.macs.values())  # products of two activations
        found["micronet_score"] = micronet_score(params, 2 * others, self.reference)
        if self._bits:
            found["course_score"] = course_score(params, self.row["macs"], *self._bits)
        return found

    def _sum(self, key: str, chosen: Sequence[int]) -> float:
        """The sum of a cost over the layers."""
        return float(sum(cost[option] for cost, option in zip(self.costs[key], chosen, strict=True)))

    def _made(self, chosen: Sequence[int]) -> Plan:
        """The plan of a choice, with what is predicted of it."""
        layers = self._layers(chosen)
        lost = sum(table.losses[option] for table, option in zip(self.tables, chosen, strict=True))
        before = {key: self._sum(key, chosen) + beside for key, beside in self._beside.items()}
        before["size_bytes"] = self._written(layers)
        predicted = {key: value * self._ratio(key) for key, value in before.items()}
        for key, value in accuracies(self.row).items():
            predicted[key] = expected(value, accuracy_lost(float(lost), self.lost.get(key, [])))
        predicted["val_loss"] = self.row["val_loss"] + float(lost)
        return Plan(self.filters, layers, predicted, self.family.activations, self.family.int8)

    def _layers(self, chosen: Sequence[int]) -> dict[str, Choice]:
        """What is done to each layer."""
        return {table.name: self.family.options[option] for table, option in zip(self.tables, chosen, strict=True)}

    def _written(self, layers: Mapping[str, Choice]) -> int:
        """Bytes of the file, without any training."""
        made = tuple(layers.values())
        if made not in self.lengths:
            self.lengths[made] = stored_bytes(compressed(self.model, layers), self.description)
        return self.lengths[made]


def _nearer(one: Plan, other: Plan, size: float) -> bool:
    """Whether a file is nearer to a budget than another from below, or less above it."""

    def distance(plan: Plan) -> tuple[bool, float]:
        over = plan.predicted["size_bytes"] - size
        return over > 0, abs(over)

    return distance(one) < distance(other)
