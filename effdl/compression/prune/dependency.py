"""Which filters can be removed, and which only together: torch-pruning's dependency graph (Fang et al. 2023, DepGraph).

A filter is an output channel of a convolution or an output of a linear layer. Where layers are added, concatenated or
follow each other, removing one of the filters of a layer takes channels of others with it: they form a group.
"""

import copy
import warnings
from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from effdl.models.resnet import ZeroPadShortcut
from effdl.nn.layers import CONVOLUTIONS
from effdl.utils.errors import UserError

LAYERS = (*CONVOLUTIONS, nn.Linear)
FLATTENINGS = 4  # a flattening before a linear layer counts twice; with more, indices multiply (windowed attention)
Side = tuple[nn.Module, str]  # a layer, and "in" or "out": its inputs or its outputs


@dataclass(frozen=True)
class Group:
    """Filters of several layers that go together: the i-th of each layer.

    `units` are the sets of filters that must go at once (single ones, unless a layer is a grouped convolution), and
    `takes` how many inputs and outputs of which layers each unit takes along.
    """

    name: str
    parts: Any  # torch-pruning's group of all filters
    units: list[list[int]]
    takes: list[Counter[Side]]

    def layers(self) -> list[nn.Module]:
        """The layers whose filters they are."""
        return [layer for layer, side in {**self.takes[0]} if side == "out" and isinstance(layer, LAYERS)]


def library() -> ModuleType:
    """torch-pruning; UserError if it is missing."""
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError("removing filters needs torch-pruning: pip install 'effdl[prune]'") from error
    return torch_pruning


class ShortcutPruner:
    """Tells torch-pruning that the inputs and the outputs of a `ZeroPadShortcut` can be removed independently."""

    def prune_in_channels(self, shortcut: ZeroPadShortcut, indices: list[int]) -> nn.Module:
        """An output that took an input that is gone is zero from now on."""
        place = {old: new for new, old in enumerate(sorted(set(range(shortcut.inputs)) - set(indices)))}
        return rewire(shortcut, len(place), [place.get(source, -1) for source in sources(shortcut)])

    def prune_out_channels(self, shortcut: ZeroPadShortcut, indices: list[int]) -> nn.Module:
        """The other outputs keep their sources."""
        kept = [source for output, source in enumerate(sources(shortcut)) if output not in set(indices)]
        return rewire(shortcut, shortcut.inputs, kept)

    def get_in_channels(self, shortcut: ZeroPadShortcut) -> int:
        return shortcut.inputs

    def get_out_channels(self, shortcut: ZeroPadShortcut) -> int:
        return shortcut.outputs

    def get_in_channel_groups(self, shortcut: ZeroPadShortcut) -> int:
        return 1

    get_out_channel_groups = get_in_channel_groups


def sources(shortcut: ZeroPadShortcut) -> list[int]:
    """The input channel of each output channel, -1 for none."""
    padded = [*range(shortcut.inputs), *[-1] * (shortcut.outputs - shortcut.inputs)]
    return padded if shortcut.sources is None else list(shortcut.sources)


def rewire(shortcut: ZeroPadShortcut, inputs: int, sources: list[int]) -> nn.Module:
    """Give a shortcut, in place, another number of inputs and other sources of its outputs."""
    shortcut.__init__(inputs, len(sources), shortcut.stride, sources)
    return shortcut


def traced(model: nn.Module, images: Tensor) -> Any:
    """Torch-pruning's graph of a model; UserError if it cannot make one, or would never get to the end of it."""
    graph = library().DependencyGraph()
    try:
        with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
            graph.build_dependency(
                model,
                images,
                forward_fn=lambda model, images: model(images) + 0,  # so that the logits are not the last layer's own
                customized_pruners={ZeroPadShortcut: ShortcutPruner()},
                verbose=False,
            )
    except Exception as error:  # whatever a structure leads it to
        raise UserError(f"filters: torch-pruning cannot follow this model: {error!r}") from error
    mappings = [
        mapping for node in graph.module2node.values() for dep in node.dependencies for mapping in dep.index_mapping
    ]
    if sum(type(mapping).__name__ == "_FlattenIndexMapping" for mapping in mappings) > FLATTENINGS:
        raise UserError("filters: torch-pruning cannot follow this model: it reshapes its channels many times")
    return graph


class Dependencies:
    """The groups of a model, for images like `images` (1, C, H, W) on its device; in eval mode afterwards."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, self.device = model, images.device
        self.names = {module: name for name, module in model.named_modules()}
        self.graph = traced(model, images)
        kinds = library().ops.OPTYPE
        # Attention; norms over channels, which a removed one would change; parameters of the model's own; the logits
        self.fixed = {kinds.MHA, kinds.UNBIND, kinds.LN, kinds.GN, kinds.IN, kinds.PARAMETER, kinds.LSTM, kinds.OUTPUT}

    def groups(self, excluded: set[str]) -> list[Group]:
        """The groups that may lose filters, all but those with a filter of an excluded layer, in the model's order."""
        found, order = [], {name: place for place, name in enumerate(self.names.values())}
        for parts in self.graph.get_all_groups(root_module_types=LAYERS):
            sides = [self._side(dependency) for dependency, _ in parts]
            fixed = any(dependency.target.type in self.fixed for dependency, _ in parts)
            names = [self.names[layer] for layer, side in sides if side == "out" and isinstance(layer, LAYERS)]
            if not fixed and not excluded & set(names):
                found.append(self._group(min(names, key=order.get), parts, sides))
        return sorted(found, key=lambda group: order[group.name])

    def remove(self, group: Group, units: list[int]) -> None:
        """Take units of a group out of the model."""
        self._subgroup(group, units).prune()
        self.model.to(self.device)  # the index of a shortcut

    def masked(self, removed: list[tuple[Group, list[int]]]) -> nn.Module:
        """A copy of the model with the filters set to zero instead of removed, and with what reads them."""
        model = copy.deepcopy(self.model)
        with torch.no_grad():
            for group, units in removed:
                for dependency, indices in self._subgroup(group, units):
                    layer, side = self._side(dependency)
                    if layer in self.names:
                        erase(model.get_submodule(self.names[layer]), side, indices)
        return model.to(self.device)

    def _subgroup(self, group: Group, units: list[int]) -> Any:
        root = group.parts[0].dep
        indices = sorted(index for unit in units for index in group.units[unit])
        return self.graph.get_pruning_group(root.target.module, root.handler, indices)

    def _side(self, dependency: Any) -> Side:
        return dependency.target.module, "out" if self.graph.is_out_channel_pruning_fn(dependency.handler) else "in"

    def _group(self, name: str, parts: Any, sides: list[Side]) -> Group:
        together = max((layer.groups for layer, _ in sides if splits(layer)), default=1)
        filters = len(parts[0].idxs)
        units = [list(range(first, filters, filters // together)) for first in range(filters // together)]
        takes = [Counter() for _ in units]
        for side, part in zip(sides, parts, strict=True):
            for root in part.root_idxs:
                takes[root % len(units)][side] += 1
        return Group(name, parts, units, takes)


def splits(layer: nn.Module) -> bool:
    """Whether it is a grouped convolution, but not a depthwise one."""
    return isinstance(layer, CONVOLUTIONS) and 1 < layer.groups < layer.out_channels


def erase(layer: nn.Module, side: str, indices: list[int]) -> None:
    """Set inputs or outputs of a layer to zero."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if isinstance(layer, ZeroPadShortcut):
        gone = {index for index, source in enumerate(sources(layer)) if (index if side == "out" else source) in indices}
        rewire(layer, layer.inputs, [-1 if index in gone else source for index, source in enumerate(sources(layer))])
    elif side == "out":
        for tensor in (weight, bias):
            if tensor is not None:
                tensor[indices] = 0
    elif weight is not None and weight.ndim > 1 and not splits(layer):
        weight[:, indices] = 0
