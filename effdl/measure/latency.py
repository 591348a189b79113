"""Inference time in eager PyTorch."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import nn

from effdl.measure.eval_mode import eval_mode, example_input
from effdl.measure.timing import latency_row, repeat


def latency(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    device: torch.device | str,
    batch: int = 1,
    threads: int = 1,
    warmup_s: float = 0.1,
    min_runs: int = 5,
    max_runs: int = 200,
    budget_s: float = 0.5,
) -> dict:
    """Median and quartiles of the time of one forward pass, in ms, over a batch of `batch` inputs (C, H, W).

    The model must already be on `device`. `threads` is PyTorch's number of CPU threads during the measurement.
    After a warm-up of `warmup_s` seconds or `max_runs`, runs repeat for `budget_s` seconds, but at least `min_runs`
    (>= 2) and at most `max_runs` times.
    """
    seconds = _forward_seconds(model, (batch, *input_shape), device, threads, warmup_s, min_runs, max_runs, budget_s)
    return latency_row(seconds, threads, batch, "pytorch-eager")


def throughput(
    model: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    device: torch.device | str,
    batch: int = 64,
    threads: int = 1,
    warmup_s: float = 0.1,
    min_runs: int = 5,
    max_runs: int = 50,
    budget_s: float = 0.5,
) -> dict:
    """Images per second, batch / median time, at a batch size that uses the whole machine. Arguments: see `latency`."""
    seconds = _forward_seconds(model, (batch, *input_shape), device, threads, warmup_s, min_runs, max_runs, budget_s)
    return {"throughput_images_per_s": batch / statistics.median(seconds), "throughput_batch": batch}


def _forward_seconds(model, shape, device, threads, warmup_s, min_runs, max_runs, budget_s) -> list[float]:
    """Seconds of each forward pass on a fixed random input of this shape, copies to the device not included."""
    device = torch.device(device)
    x = example_input(model, shape, device)

    def run() -> float:
        _synchronize(device)
        start = perf_counter()
        model(x)
        _synchronize(device)
        return perf_counter() - start

    with eval_mode(model), torch.inference_mode(), _cpu_threads(threads):
        repeat(run, at_least=1, at_most=max_runs, budget_s=warmup_s)
        return repeat(run, at_least=min_runs, at_most=max_runs, budget_s=budget_s)


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
