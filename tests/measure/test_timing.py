"""Repeated times and what they amount to."""

import json

from effdl.measure.timing import latency_row, repeat


def test_medians_and_quartiles():
    times = [0.004, 0.001, 0.002, 0.003, 0.005]
    found = latency_row(times, 2, 7, "a runtime")
    assert found == {
        "latency_ms": 3.0,
        "latency_q1_ms": 2.0,
        "latency_q3_ms": 4.0,
        "latency_runs": 5,
        "latency_threads": 2,
        "latency_batch": 7,
        "latency_runtime": "a runtime",
    }
    assert json.dumps(found)


def test_a_call_is_repeated_within_its_bounds():
    assert repeat(lambda: 1.0, at_least=3, at_most=7, budget_s=0.0) == [1.0] * 3
    assert repeat(lambda: 2.0, at_least=3, at_most=7, budget_s=10.0) == [2.0] * 7
