"""Which layer's output is which layer's input: seen in one forward pass, not guessed from names."""

from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.nn.hooks import forward_hooks

Value = tuple[int, int]  # a tensor at one time: its identity, and how often it had been changed in place


@dataclass(frozen=True)
class Call:
    """One call of a module without children: what it read, what it gave, and how many operations read that."""

    name: str
    module: nn.Module
    entering: Value
    leaving: Value
    dimensions: int  # of what it gave
    readers: int


class CallGraph:
    """The calls of one forward pass, in their order.

    Modules whose input or output is not a single tensor are left out, and so are parametrizations.
    """

    def __init__(self, model: nn.Module, images: Tensor):
        self.calls: list[Call] = []
        records, alive = [], []  # a tensor that is gone would lend its identity to another
        entering: dict[nn.Module, Value | None] = {}

        def note_input(module: nn.Module, arguments: tuple) -> None:
            single = len(arguments) >= 1 and isinstance(arguments[0], Tensor)
            entering[module] = value_of(arguments[0]) if single else None

        def note_output(module: nn.Module, arguments: tuple, output: Tensor) -> None:
            if entering[module] is not None and isinstance(output, Tensor):
                alive.extend((arguments[0], output))
                records.append((module, entering[module], value_of(output), output.ndim, output.grad_fn))

        names = {module: name for name, module in leaves(model)}
        # With gradients, whose graph tells who reads a tensor; the images need one, so that every tensor is in it.
        with forward_hooks(names, note_input, before=True), forward_hooks(names, note_output), torch.enable_grad():
            output = model(images.detach().clone().requires_grad_())
        self.output = value_of(output)
        readers = count_readers(output)
        self.calls = [Call(names[m], m, into, out, ndim, readers[node]) for m, into, out, ndim, node in records]
        self.times = Counter(call.module for call in self.calls)

    def join(self, followers: dict[str, str]) -> None:
        """Take each named layer and the module that alone reads its output for one call, by the layer's name."""
        of = {call.name: call for call in self.calls}
        for name, follower in followers.items():
            last = of[follower]
            of[name] = replace(of[name], leaving=last.leaving, dimensions=last.dimensions, readers=last.readers)
        self.calls = [of[call.name] if call.name in followers else call for call in self.calls]
        self.calls = [call for call in self.calls if call.name not in followers.values()]

    def producer(self, value: Value) -> Call | None:
        """The first call that gave a value; None for images and for what functions between modules gave."""
        return next((call for call in self.calls if call.leaving == value and call.entering != value), None)

    def only_reader(self, call: Call) -> Call | None:
        """The call that alone reads a call's output, if there is one, looking through what gives it on unchanged."""
        reading = [other for other in self.calls if other.entering == call.leaving and other.leaving != call.leaving]
        return reading[0] if len(reading) == 1 and call.readers == 1 and call.leaving != self.output else None


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules without children but their parametrizations, which are none themselves."""
    found, skipped = [], set()
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module):
            skipped |= set(module.parametrizations.modules())
        if module not in skipped and not [child for child in module.children() if child not in skipped]:
            found.append((name, module))
    return found


def value_of(tensor: Tensor) -> Value:
    """What tells a tensor from others, and from itself after it was changed in place."""
    return id(tensor), tensor._version


def count_readers(output: Tensor) -> Counter:
    """How many operations of the graph that led to a tensor read the output of each operation."""
    readers: Counter = Counter()
    waiting, seen = [output.grad_fn], {output.grad_fn}
    while waiting:
        for node, _ in waiting.pop().next_functions:
            readers[node] += 1
            if node is not None and node not in seen:
                seen.add(node)
                waiting.append(node)
    del readers[None]  # what needs no gradient
    return readers
