"""Which operations of a forward pass read and write which activations, recorded below modules and functions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from effdl.nn.hooks import forward_hooks
from effdl.nn.quantizers import activation_quantizers

_aten = torch.ops.aten
_ELEMENTWISE = {  # besides what PyTorch calls pointwise
    *(_aten.native_batch_norm, _aten._native_batch_norm_legit_no_training, _aten._native_batch_norm_legit),
    *(_aten.cudnn_batch_norm, _aten.batch_norm, _aten.native_layer_norm, _aten.native_group_norm, _aten._softmax),
}


@dataclass(frozen=True)
class Step:
    """One operation: the values that it reads, and those that it writes.

    `elementwise`: what it writes may take the place of a value of the same size that nothing reads later. `changes` are
    the values whose place it takes in any case, so that all that reads them must come before.
    """

    reads: frozenset[int]
    writes: tuple[int, ...]
    elementwise: bool = False
    changes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ActivationGraph:
    """The operations of one forward pass in the order in which they were executed, without those that nothing reads.

    A value is a number; `sizes` has its elements. `given` is the model's input and `results` are its outputs. Views are
    the value that they look at; what a tensor was before and after it was changed in place are two values.
    """

    steps: tuple[Step, ...]
    sizes: dict[int, int]
    given: int
    results: frozenset[int]


def activation_graph(model: nn.Module, images: Tensor) -> ActivationGraph:
    """Record a model in eval mode, without gradients, on images (n, C, H, W).

    Only what depends on the images is an activation. Quantizers of activations are left out: a runtime that computes
    with their codes has no copy of their input.
    """
    quantizers = list(activation_quantizers(model))
    with forward_hooks(quantizers, lambda module, arguments, output: arguments[0]), _Recorder(images) as recorder:
        output = model(images)
    results = frozenset(recorder.values_of(tree_leaves(output)))
    return ActivationGraph(_needed(recorder.steps, results), recorder.sizes, recorder.given, results)


class _Recorder(TorchDispatchMode):
    """Notes the operations on what depends on the images."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.steps: list[Step] = []
        self.sizes: dict[int, int] = {}
        self._values: dict[int, int] = {}  # by the identity of a storage, of which all are kept: it may be given again
        self._kept: list[Tensor] = []
        self.given = self._new(images)

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = operation(*args, **(kwargs or {}))
        arguments = tree_leaves((args, kwargs))
        if reads := frozenset(self.values_of(arguments)):
            changed = [a for a, said in zip(args, operation._schema.arguments, strict=False) if _is_written(said)]
            unchanged = {_storage(t) for t in _tensors(arguments)} - {_storage(t) for t in _tensors(changed)}
            new = {_storage(t): t for t in _tensors(tree_leaves(output)) if _storage(t) not in unchanged}
            changes = frozenset(self.values_of(changed))
            elementwise = torch.Tag.pointwise in operation.tags or operation.overloadpacket in _ELEMENTWISE
            if new:
                self.steps.append(Step(reads, tuple(map(self._new, new.values())), elementwise, changes))
        return output

    def values_of(self, found: Iterable[Any]) -> list[int]:
        """The values that tensors are or look at, of those that depend on the images."""
        return [self._values[_storage(t)] for t in _tensors(found) if _storage(t) in self._values]

    def _new(self, tensor: Tensor) -> int:
        number = len(self.sizes)
        self._kept.append(tensor)
        self._values[_storage(tensor)] = number
        self.sizes[number] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return number


def _is_written(argument: Any) -> bool:
    """Whether an operation changes an argument in place."""
    return argument.alias_info is not None and argument.alias_info.is_write


def _tensors(found: Iterable[Any]) -> list[Tensor]:
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _needed(steps: list[Step], results: frozenset[int]) -> tuple[Step, ...]:
    """The steps that the results need, without values that nothing reads, such as where the maxima of pooling were."""
    needed, kept = set(results), []
    for step in reversed(steps):
        if writes := tuple(value for value in step.writes if value in needed):
            needed |= step.reads
            kept.append(replace(step, writes=writes))
    return tuple(reversed(kept))
