"""Repeated runs and the statistics of their times. It does not import PyTorch: see `effdl.deploy.benchmark`."""

import statistics
from collections.abc import Callable
from time import perf_counter


def repeat(run: Callable[[], float], at_least: int, at_most: int, budget_s: float) -> list[float]:
    """The results of run(), repeated for `budget_s` seconds, but at least `at_least` and at most `at_most` times."""
    end, results = perf_counter() + budget_s, []
    while len(results) < at_least or (len(results) < at_most and perf_counter() < end):
        results.append(run())
    return results


def latency_row(seconds: list[float], threads: int, batch: int, runtime: str) -> dict:
    """Median and quartiles (ms) of the times of single inferences, and the conditions of the measurement."""
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
