"""Which layer's output is which layer's input, recorded in one forward pass rather than guessed from names."""

from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.nn.hooks import forward_hooks

_Value = tuple[int, int]  # a tensor at one time: its identity, and how often it had been changed in place


@dataclass(frozen=True)
class Call:
    """One call of a module without children.

    `entering` and `leaving` are its input and its output, `dimensions` is the number of dimensions of the output, and
    `readers` the number of operations that read the output.
    """

    name: str
    module: nn.Module
    entering: _Value
    leaving: _Value
    dimensions: int
    readers: int


class CallGraph:
    """The calls of one forward pass, in order of execution.

    Left out are parametrizations and modules whose input or output is not a single tensor.
    """

    def __init__(self, model: nn.Module, images: Tensor):
        self.calls: list[Call] = []
        records, alive = [], []  # keeps tensors alive: the id of a freed tensor may be reused
        entering: dict[nn.Module, _Value | None] = {}

        def note_input(module: nn.Module, arguments: tuple) -> None:
            single = len(arguments) >= 1 and isinstance(arguments[0], Tensor)
            entering[module] = _value_of(arguments[0]) if single else None

        def note_output(module: nn.Module, arguments: tuple, output: Tensor) -> None:
            if entering[module] is not None and isinstance(output, Tensor):
                alive.extend((arguments[0], output))
                records.append((module, entering[module], _value_of(output), output.ndim, output.grad_fn))

        names = {module: name for name, module in leaves(model)}
        # The autograd graph tells which operations read a tensor; the images require a gradient, so that all are in it.
        # Parameters do not: what a model makes of them alone and keeps (LeViT's biases) could not be copied afterwards.
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            with forward_hooks(names, note_input, before=True), forward_hooks(names, note_output), torch.enable_grad():
                output = model(images.detach().requires_grad_().clone())  # a copy, which may be changed in place
        finally:
            for parameter in trained:
                parameter.requires_grad_()
        self.output = _value_of(output)
        readers = _count_readers(output)
        self.calls = [Call(names[m], m, into, out, ndim, readers[node]) for m, into, out, ndim, node in records]
        self.times = Counter(call.module for call in self.calls)

    def join(self, followers: dict[str, str]) -> None:
        """Merge the call of each layer with that of its follower, the only reader of its output, under its own name."""
        of = {call.name: call for call in self.calls}
        for name, follower in followers.items():
            last = of[follower]
            of[name] = replace(of[name], leaving=last.leaving, dimensions=last.dimensions, readers=last.readers)
        self.calls = [of[call.name] if call.name in followers else call for call in self.calls]
        self.calls = [call for call in self.calls if call.name not in followers.values()]

    def producer(self, value: _Value) -> Call | None:
        """The first call that computed a value; None for images and results of functions outside of modules."""
        return next((call for call in self.calls if call.leaving == value and call.entering != value), None)

    def only_reader(self, call: Call) -> Call | None:
        """The only call that reads a call's output, or None; modules that return their input unchanged are skipped."""
        reading = [other for other in self.calls if other.entering == call.leaving and other.leaving != call.leaving]
        return reading[0] if len(reading) == 1 and call.readers == 1 and call.leaving != self.output else None


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Names and modules without children; parametrizations neither count as children nor are returned."""
    found, skipped = [], set()
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            skipped |= set(module.parametrizations.modules())
        if module not in skipped and not [child for child in module.children() if child not in skipped]:
            found.append((name, module))
    return found


def _value_of(tensor: Tensor) -> _Value:
    """What distinguishes a tensor from other tensors, and from itself before it was changed in place."""
    return id(tensor), tensor._version


def _count_readers(output: Tensor) -> Counter:
    """For each operation in the autograd graph of a tensor, the number of operations that read its output."""
    readers: Counter = Counter()
    waiting, seen = [output.grad_fn], {output.grad_fn}
    while waiting:
        for node, _ in waiting.pop().next_functions:
            readers[node] += 1
            if node is not None and node not in seen:
                seen.add(node)
                waiting.append(node)
    del readers[None]  # tensors that require no gradient
    return readers
