"""Repeating what is timed, and what its times amount to. Nothing of PyTorch here: see `effdl.deploy.benchmark`."""

import statistics
from collections.abc import Callable
from time import perf_counter


def repeat(run: Callable[[], float], at_least: int, at_most: int, budget_s: float) -> list[float]:
    """Results of run() repeated for `budget_s` seconds, within these numbers of times."""
    end, results = perf_counter() + budget_s, []
    while len(results) < at_least or (len(results) < at_most and perf_counter() < end):
        results.append(run())
    return results


def latency_row(seconds: list[float], threads: int, batch: int, runtime: str) -> dict:
    """Median and quartiles, in ms, of the times of single inferences, and what they were taken with."""
    q1, median, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "latency_ms": 1e3 * median,
        "latency_q1_ms": 1e3 * q1,
        "latency_q3_ms": 1e3 * q3,
        "latency_runs": len(seconds),
        "latency_threads": threads,
        "latency_batch": batch,
        "latency_runtime": runtime,
    }
