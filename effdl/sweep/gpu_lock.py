"""Several runs on one machine at a time: each takes a GPU that no other has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from effdl.utils.locks import locked


@contextmanager
def own_gpu(device: str, folder: Path) -> Iterator[None]:
    """Make the first GPU that no other job of this folder holds the current one, if there is one.

    A lock on a file stands for a GPU: it goes when its process goes, however that ends.

    Args:
        device: the run's ``device.name``; nothing is done for ``cpu`` and ``mps``.
        folder: where the locks are, ``.gpu-0`` and so on.
    """
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if count < 2:
        yield
        return
    before = torch.cuda.current_device()
    with first_free([folder / f".gpu-{number}" for number in range(count)]) as number:
        torch.cuda.set_device(number if number is not None else before)
        try:
            yield
        finally:
            torch.cuda.set_device(before)


@contextmanager
def first_free(files: list[Path]) -> Iterator[int | None]:
    """Hold the lock on the first file that nobody has locked; gives its number, or None if all are locked."""
    for number, file in enumerate(files):
        with locked(file) as mine:
            if mine:
                yield number
                return
    yield None
