"""Callbacks: what is told how a run goes, such as progress on the terminal, loggers, curves, a sweeper's pruner.

A callback is any object with at least one of these methods; those that it lacks are not called.

==============================  =====================================================================================
``run_begin(stages)``           the stages that there will be, in their order
``stage_begin(stage)``          a stage begins: ``dense``, ``prune`` and so on
``training_begin(epochs, done)``  a training of so many epochs begins; `done` of them were done before an interruption
``batch_end(batch)``            a few times per second: a `Batch`
``epoch_end(row)``              a row of ``epochs.jsonl``; may raise `TrialPruned` to stop the run
``training_end(rows)``          a training is over, or broken off; `rows` are its epochs, none if it was broken off
``drawn(pictures)``             what an autoencoder makes of images at the end of its training: uint8 (n, 3, C, H, W),
                                each as it is, as it was seen, and as it was drawn
``measuring_begin(stage)``      a stage's model is stored and measured now
``stage_end(row)``              a row of ``stages.jsonl``
``message(text)``               a warning, or a line about the run
``run_end(status)``             the run has ended with this status
==============================  =====================================================================================

Rows come in order. After a resume those of the earlier process come again, so that no callback misses one: earlier
epochs before the ``training_begin`` of their training.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from effdl.utils.errors import TrialPruned

if TYPE_CHECKING:
    from torch import Tensor

_EVENTS = (
    "run_begin",
    "stage_begin",
    "training_begin",
    "batch_end",
    "epoch_end",
    "training_end",
    "drawn",
    "measuring_begin",
    "stage_end",
    "message",
    "run_end",
)
log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Where an epoch stands: mean loss and accuracy (None without labels) of its images so far, images per second."""

    step: int
    steps: int
    loss: float
    top1: float | None
    images_per_s: float


class Callbacks:
    """All callbacks of a run, as one. A callback that fails is dropped with a warning: it must not harm the run.

    Raises:
        TypeError: an object has none of the methods.
    """

    def __init__(self, callbacks: Iterable[object] = ()):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not any(hasattr(callback, event) for event in _EVENTS):
                raise TypeError(f"{callback!r} is no callback: it has none of {', '.join(_EVENTS)}")

    def run_begin(self, stages: list[str]) -> None:
        """Tell all which stages there will be."""
        self._tell("run_begin", stages)

    def stage_begin(self, stage: str) -> None:
        """Tell all that a stage begins."""
        self._tell("stage_begin", stage)

    def training_begin(self, epochs: int, done: int) -> None:
        """Tell all that a training begins."""
        self._tell("training_begin", epochs, done)

    def batch_end(self, batch: Batch) -> None:
        """Tell all where an epoch stands."""
        self._tell("batch_end", batch)

    def epoch_end(self, row: dict) -> None:
        """Tell all of an epoch.

        Raises:
            TrialPruned: one of them stops the run; the others were told all the same.
        """
        self._tell("epoch_end", row)

    def training_end(self, rows: list[dict]) -> None:
        """Tell all that a training is over."""
        self._tell("training_end", rows)

    def drawn(self, pictures: "Tensor") -> None:
        """Show all what an autoencoder draws."""
        self._tell("drawn", pictures)

    def measuring_begin(self, stage: str) -> None:
        """Tell all that a stage is measured now."""
        self._tell("measuring_begin", stage)

    def stage_end(self, row: dict) -> None:
        """Tell all of a measured stage."""
        self._tell("stage_end", row)

    def message(self, text: str) -> None:
        """Let those show a line that show anything."""
        self._tell("message", text)

    def run_end(self, status: str) -> None:
        """Tell all that the run has ended."""
        self._tell("run_end", status)

    def _tell(self, event: str, *values: object) -> None:
        pruned = None
        for callback in list(self.callbacks):
            if not hasattr(callback, event):
                continue
            try:
                getattr(callback, event)(*values)
            except TrialPruned as error:
                pruned = error
            except Exception as error:
                self.callbacks.remove(callback)
                log.warning("%s failed and is no longer told of this run: %r", type(callback).__name__, error)
                log.info("its traceback", exc_info=True)
        if pruned:
            raise pruned
