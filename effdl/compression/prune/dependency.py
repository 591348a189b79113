"""Groups of filters that can only be removed together: the dependency graph of torch-pruning (Fang et al. 2023).

A filter is an output channel of a convolution or an output of a linear layer. Where layers are added, concatenated or
follow each other, removing a filter of one layer requires removing channels of others: they form a group.
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
_FLATTENINGS = (
    4  # one before a linear layer counts twice; with more, the number of indices explodes (windowed attention)
)
Side = tuple[nn.Module, str]  # a layer, and "in" or "out": its inputs or its outputs


@dataclass(frozen=True)
class Group:
    """Filters of several layers that can only be removed together: the i-th filter of each layer.

    `units` are the sets of filters that must be removed at once (single filters, unless a layer is a grouped
    convolution); `takes` has for each unit the number of inputs and outputs of each layer that are removed with it.
    """

    name: str
    parts: Any  # torch-pruning's group of all filters
    units: list[list[int]]
    takes: list[Counter[Side]]

    def layers(self) -> list[nn.Module]:
        """The layers to which the filters belong."""
        return [layer for layer, side in {**self.takes[0]} if side == "out" and isinstance(layer, LAYERS)]


def library() -> ModuleType:
    """The module torch_pruning; UserError if it is not installed."""
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError("removing filters needs torch-pruning: pip install 'effdl[prune]'") from error
    return torch_pruning


class _ShortcutPruner:
    """Pruner for torch-pruning that removes the inputs and the outputs of a `ZeroPadShortcut` independently."""

    def prune_in_channels(self, shortcut: ZeroPadShortcut, indices: list[int]) -> nn.Module:
        """Remove inputs; outputs that read a removed input become zero."""
        index = {old: new for new, old in enumerate(sorted(set(range(shortcut.inputs)) - set(indices)))}
        return _rewire(shortcut, len(index), [index.get(source, -1) for source in _sources(shortcut)])

    def prune_out_channels(self, shortcut: ZeroPadShortcut, indices: list[int]) -> nn.Module:
        """Remove outputs; the other outputs keep their sources."""
        kept = [source for output, source in enumerate(_sources(shortcut)) if output not in set(indices)]
        return _rewire(shortcut, shortcut.inputs, kept)

    def get_in_channels(self, shortcut: ZeroPadShortcut) -> int:
        return shortcut.inputs

    def get_out_channels(self, shortcut: ZeroPadShortcut) -> int:
        return shortcut.outputs

    def get_in_channel_groups(self, shortcut: ZeroPadShortcut) -> int:
        return 1

    get_out_channel_groups = get_in_channel_groups


def _sources(shortcut: ZeroPadShortcut) -> list[int]:
    """The input channel that each output channel reads, or -1 if it is zero."""
    padded = [*range(shortcut.inputs), *[-1] * (shortcut.outputs - shortcut.inputs)]
    return padded if shortcut.sources is None else list(shortcut.sources)


def _rewire(shortcut: ZeroPadShortcut, inputs: int, sources: list[int]) -> nn.Module:
    """Change the number of inputs of a shortcut and the sources of its outputs; in place."""
    shortcut.__init__(inputs, len(sources), shortcut.stride, sources)
    return shortcut


def _traced(model: nn.Module, images: Tensor) -> Any:
    """The dependency graph of a model; UserError if torch-pruning cannot build it, or not in a reasonable time."""
    graph = library().DependencyGraph()
    try:
        with torch.enable_grad(), warnings.catch_warnings(action="ignore"):
            graph.build_dependency(
                model,
                images,
                forward_fn=lambda model, images: (
                    model(images) + 0
                ),  # so that the last layer is not itself the output node
                customized_pruners={ZeroPadShortcut: _ShortcutPruner()},
                verbose=False,
            )
    except Exception as error:  # of any type, depending on the structure of the model
        raise UserError(f"filters: torch-pruning cannot follow this model: {error!r}") from error
    mappings = [
        mapping for node in graph.module2node.values() for dep in node.dependencies for mapping in dep.index_mapping
    ]
    if sum(type(mapping).__name__ == "_FlattenIndexMapping" for mapping in mappings) > _FLATTENINGS:
        raise UserError("filters: torch-pruning cannot follow this model: it reshapes its channels many times")
    return graph


class Dependencies:
    """The groups of a model for images of the shape and device of `images` (1, C, H, W)."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self.model, self.device = model, images.device
        self.names = {module: name for name, module in model.named_modules()}
        self.graph = _traced(model, images)
        kinds = library().ops.OPTYPE
        # Attention; norms over channels, whose statistics a removed channel would change; parameters outside of layers;
        # the logits
        self.fixed = {kinds.MHA, kinds.UNBIND, kinds.LN, kinds.GN, kinds.IN, kinds.PARAMETER, kinds.LSTM, kinds.OUTPUT}

    def groups(self, excluded: set[str]) -> list[Group]:
        """The groups whose filters can be removed, without those of excluded layers, in the order of the model."""
        found, order = [], {name: position for position, name in enumerate(self.names.values())}
        for parts in self.graph.get_all_groups(root_module_types=LAYERS):
            sides = [self._side(dependency) for dependency, _ in parts]
            fixed = any(dependency.target.type in self.fixed for dependency, _ in parts)
            names = [self.names[layer] for layer, side in sides if side == "out" and isinstance(layer, LAYERS)]
            if not fixed and not excluded & set(names):
                found.append(self._group(min(names, key=order.get), parts, sides))
        return sorted(found, key=lambda group: order[group.name])

    def remove(self, group: Group, units: list[int]) -> None:
        """Remove units of a group from the model."""
        self._subgroup(group, units).prune()
        self.model.to(self.device)  # the index of a shortcut

    def masked(self, removed: list[tuple[Group, list[int]]]) -> nn.Module:
        """A copy of the model with the filters, and the weights that read them, set to zero instead of removed."""
        model = copy.deepcopy(self.model)
        with torch.no_grad():
            for group, units in removed:
                for dependency, indices in self._subgroup(group, units):
                    layer, side = self._side(dependency)
                    if layer in self.names:
                        _erase(model.get_submodule(self.names[layer]), side, indices)
        return model.to(self.device)

    def _subgroup(self, group: Group, units: list[int]) -> Any:
        root = group.parts[0].dep
        indices = sorted(index for unit in units for index in group.units[unit])
        return self.graph.get_pruning_group(root.target.module, root.handler, indices)

    def _side(self, dependency: Any) -> Side:
        return dependency.target.module, "out" if self.graph.is_out_channel_pruning_fn(dependency.handler) else "in"

    def _group(self, name: str, parts: Any, sides: list[Side]) -> Group:
        together = max((layer.groups for layer, _ in sides if _splits(layer)), default=1)
        filters = len(parts[0].idxs)
        units = [list(range(first, filters, filters // together)) for first in range(filters // together)]
        takes = [Counter() for _ in units]
        for side, part in zip(sides, parts, strict=True):
            for root in part.root_idxs:
                takes[root % len(units)][side] += 1
        return Group(name, parts, units, takes)


def _splits(layer: nn.Module) -> bool:
    """Whether a layer is a grouped convolution that is not depthwise."""
    return isinstance(layer, CONVOLUTIONS) and 1 < layer.groups < layer.out_channels


def _erase(layer: nn.Module, side: str, indices: list[int]) -> None:
    """Set inputs or outputs of a layer to zero."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if isinstance(layer, ZeroPadShortcut):
        gone = {
            index for index, source in enumerate(_sources(layer)) if (index if side == "out" else source) in indices
        }
        _rewire(layer, layer.inputs, [-1 if index in gone else source for index, source in enumerate(_sources(layer))])
    elif side == "out":
        for tensor in (weight, bias):
            if tensor is not None:
                tensor[indices] = 0
    elif weight is not None and weight.ndim > 1 and not _splits(layer):
        weight[:, indices] = 0
