"""Inference time in eager PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter

import torch
from torch import nn

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.measure.timing import Rounds, take_turns, throughput_row


def eager_rounds(
    models: Sequence[nn.Module],
    input_shape: tuple[int, int, int],
    *,
    device: torch.device | str,
    batch: int = 1,
    threads: int = 1,
) -> list[Rounds]:
    """The times of forward passes of models that take turns (`take_turns`), on batches of `batch` inputs (C, H, W).

    The models must already be on `device`; copies to it are not timed. `threads` is PyTorch's number of CPU threads
    meanwhile.
    """
    with ExitStack() as stack:
        stack.enter_context(_cpu_threads(threads))
        shape = (batch, *input_shape)
        return take_turns([_timed_forward(stack, model, shape, torch.device(device)) for model in models])


def throughput(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    device: torch.device | str,
    batch: int = 64,
    threads: int = 1,
) -> dict:
    """Images per second at a batch size that uses the whole machine; arguments: see `eager_rounds`."""
    with ExitStack() as stack:
        stack.enter_context(_cpu_threads(threads))
        return throughput_row(_timed_forward(stack, model, (batch, *input_shape), torch.device(device)), batch)


def _timed_forward(
    stack: ExitStack, model: nn.Module, shape: tuple[int, ...], device: torch.device
) -> Callable[[], float]:
    """A function that runs a model once on a fixed random input and returns the seconds.

    The model is in eval mode until `stack` is closed.
    """
    x = example_input(model, shape, device)
    stack.enter_context(eval_mode(model))
    stack.enter_context(torch.inference_mode())

    def run() -> float:
        _synchronize(device)
        start = perf_counter()
        model(x)
        _synchronize(device)
        return perf_counter() - start

    return run


def _synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished; on a CPU there is nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _cpu_threads(threads: int) -> Iterator[None]:
    """Use this number of CPU threads in the ``with`` block; the former number is restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
