"""Rows that come in batches, in one tensor."""

from collections.abc import Iterable

import torch
from torch import Tensor


class RowBuffer:
    """A tensor of so many rows, allocated when the first come.

    A list of small results between large activations, which are freed, would keep the heap from shrinking (glibc).
    """

    def __init__(self, count: int):
        self._count, self._filled, self._rows = count, 0, torch.empty(0)

    def add(self, x: Tensor) -> None:
        """The next rows, (n, ...)."""
        if not self._filled:
            self._rows = x.new_empty(self._count, *x.shape[1:])
        self._rows[self._filled : self._filled + len(x)] = x
        self._filled += len(x)

    def all(self) -> Tensor:
        """(count, ...).

        Raises:
            ValueError: fewer rows came.
        """
        if self._filled != self._count:
            raise ValueError(f"{self._filled} rows came instead of {self._count}")
        return self._rows


def joined(batches: Iterable[Tensor], count: int) -> Tensor:
    """Batches (n, ...) that have so many rows together, as one tensor."""
    rows = RowBuffer(count)
    for batch in batches:
        rows.add(batch)
    return rows.all()
