"""Repeated runs, alone or in turns, and the statistics of their times. No PyTorch: see `effdl.deploy.benchmark`."""

import statistics
from collections.abc import Callable, Sequence
from itertools import chain
from time import perf_counter

MIN_ROUNDS = 8  # fewer give no interval, see `effdl.measure.ratio`
_MAX_ROUNDS = 41
_TURN_S = 0.005  # longer than it takes to have the weights in the caches, shorter than most of what disturbs
_MAX_RUNS = 200  # in a turn

Rounds = list[list[float]]  # of each round the times of its runs, in seconds


def repeat(run: Callable[[], float], at_least: int, at_most: int, budget_s: float) -> list[float]:
    """The results of run(), repeated for `budget_s` seconds, but at least `at_least` and at most `at_most` times."""
    end, results = perf_counter() + budget_s, []
    while len(results) < at_least or (len(results) < at_most and perf_counter() < end):
        results.append(run())
    return results


def take_turns(
    runs: Sequence[Callable[[], float]], *, warmup_s: float = 0.1, budget_s: float = 1.5, limit_s: float = 20.0
) -> list[Rounds]:
    """Time several models in turns, so that what disturbs the machine disturbs all of them alike.

    In a round each has a turn of 5 ms or one run, every other round in the opposite order (ABC CBA ...), so that a
    steady drift cancels out. After a warm-up of `warmup_s` seconds each, rounds go on for `budget_s` seconds, but for
    at least `MIN_ROUNDS` and at most 41; `limit_s` ends them in any case, after the second round.

    Args:
        runs: each runs a model once and returns the seconds that it took.

    Returns:
        For each of `runs` the times of its rounds.
    """
    for run in runs:
        repeat(run, at_least=1, at_most=_MAX_RUNS, budget_s=warmup_s)
    began, times = perf_counter(), [[] for _ in runs]
    for number in range(_MAX_ROUNDS):
        order = range(len(runs)) if number % 2 == 0 else reversed(range(len(runs)))
        for which in order:
            times[which].append(repeat(runs[which], at_least=1, at_most=_MAX_RUNS, budget_s=_TURN_S))
        took = perf_counter() - began
        if number and (took > limit_s or (took > budget_s and number + 1 >= MIN_ROUNDS)):
            break
    return times


def latency_row(rounds: Rounds, threads: int, batch: int, runtime: str, device: str, layout: str | None) -> dict:
    """Median and quartiles (ms) of the times of single inferences, and the conditions of the measurement.

    Args:
        layout: memory layout of the images and of convolutions' weights; None: the runtime chooses.
    """
    seconds = list(chain.from_iterable(rounds))
    q1, median, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "latency_ms": 1e3 * median,
        "latency_q1_ms": 1e3 * q1,
        "latency_q3_ms": 1e3 * q3,
        "latency_runs": len(seconds),
        "latency_threads": threads,
        "latency_batch": batch,
        "latency_runtime": runtime,
        "latency_device": device,
        "latency_layout": layout,
    }


def throughput_row(run: Callable[[], float], batch: int) -> dict:
    """Images per second, batch / median time, of a model that run() runs once on a batch of images."""
    repeat(run, at_least=1, at_most=_MAX_RUNS, budget_s=0.1)
    seconds = repeat(run, at_least=5, at_most=50, budget_s=0.5)
    return {"throughput_images_per_s": batch / statistics.median(seconds), "throughput_batch": batch}
