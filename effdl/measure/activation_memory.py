"""The memory that one inference needs for its activations, in the best order of its operations.

Liberis & Lane 2019, "Neural networks on microcontrollers: saving memory at inference via operator reordering".
"""

import heapq
from collections.abc import Iterable

import torch
from torch import nn

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.nn.activation_graph import ActivationGraph, activation_graph

_STATES = 20_000  # that a search may look at


def peak_activation_bytes(model: nn.Module, input_shape: tuple[int, int, int], bytes_per_value: int) -> int:
    """Peak of the activations that are held at the same time in one inference of one image (C, H, W).

    Counted is what a runtime holds that plans its memory: inputs and outputs of the operation that is computed, and
    what later ones read, but neither weights nor the scratch memory of an operation. The input of the model counts as
    long as it is read. Elementwise operations and norms write over an input that nothing reads later.
    """
    x = example_input(model, (1, *input_shape))
    with eval_mode(model), torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        return bytes_per_value * lowest_peak(activation_graph(model, x))


def lowest_peak(graph: ActivationGraph) -> int:
    """The lowest peak, in elements, over all orders in which the operations can be computed (section 3 of the paper).

    A set of computed operations determines what is held, so that this is a shortest path over such sets whose length is
    the largest of its steps. Of more than 20,000 sets the order in which the model computes is taken instead.
    """
    plan = _Plan(graph)
    waiting = [(plan.begin, 0, 0, plan.begin, plan.ready(0, range(len(graph.steps))))]
    seen: set[int] = set()
    while waiting:
        peak, _, done, held, ready = heapq.heappop(waiting)
        if not ready:
            return peak
        if done in seen:
            continue
        if len(seen) >= _STATES:
            return plan.peak_of(range(len(graph.steps)))
        seen.add(done)
        moves = [(step, *plan.move(done, held, step)) for step in ready]
        # A step that needs no more and leaves no more held than before is best taken at once.
        free = next((move for move in moves if move[1] <= peak and move[2] <= held), None)
        for step, needed, after in [free] if free else moves:
            reached = done | 1 << step
            following = plan.ready(reached, [*(other for other in ready if other != step), *plan.followers[step]])
            heapq.heappush(waiting, (max(peak, needed), -reached.bit_count(), reached, after, following))
    raise ValueError("the operations depend on each other in a circle")


class _Plan:
    """What is held after which operations; a set of operations is the bits of an integer."""

    def __init__(self, graph: ActivationGraph):
        self.graph, self.begin = graph, graph.sizes[graph.given]
        self.readers = dict.fromkeys(graph.sizes, 0)
        makers = {}
        for number, step in enumerate(graph.steps):
            for value in step.reads:
                self.readers[value] |= 1 << number
            makers |= dict.fromkeys(step.writes, number)
        self.needs = [self._needs(number, makers) for number in range(len(graph.steps))]
        self.followers = [
            [other for other, needs in enumerate(self.needs) if needs >> number & 1]
            for number in range(len(self.needs))
        ]

    def _needs(self, number: int, makers: dict[int, int]) -> int:
        """The steps before a step: those that make what it reads, and that read what it changes."""
        step, needs = self.graph.steps[number], 0
        for value in step.reads:
            needs |= 1 << makers[value] if value in makers else 0
        for value in step.changes:
            needs |= self.readers[value]
        return needs & ~(1 << number)

    def ready(self, done: int, steps: Iterable[int]) -> tuple[int, ...]:
        """Those of some steps that can be computed next."""
        return tuple(dict.fromkeys(step for step in steps if not self.needs[step] & ~done))

    def move(self, done: int, held: int, number: int) -> tuple[int, int]:
        """How many elements are held while a step is computed, and afterwards."""
        step, sizes = self.graph.steps[number], self.graph.sizes
        left = ~(done | 1 << number)
        freed = [v for v in step.reads if not self.readers[v] & left and v not in self.graph.results]
        written = sum(sizes[value] for value in step.writes)
        over = step.changes or (step.elementwise and any(sizes[value] == written for value in freed))
        return held + (0 if over else written), held + written - sum(sizes[value] for value in freed)

    def peak_of(self, order: Iterable[int]) -> int:
        """The peak of one order."""
        done, held, peak = 0, self.begin, self.begin
        for number in order:
            needed, held = self.move(done, held, number)
            done, peak = done | 1 << number, max(peak, needed)
        return peak
