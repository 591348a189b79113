"""Repeated times, times in turns, and what they amount to."""

import json
from itertools import groupby

import pytest

from effdl.measure import timing
from effdl.measure.timing import MIN_ROUNDS, latency_row, repeat, take_turns, throughput_row


class Machine:
    """A machine with a clock of its own, on which models take as long as they are told."""

    def __init__(self, monkeypatch):
        self.now, self.order = 100.0, []
        monkeypatch.setattr(timing, "perf_counter", lambda: self.now)

    def model(self, name, seconds):
        def run():
            self.now += seconds
            self.order.append(name)
            return seconds

        return run


def test_medians_and_quartiles():
    rounds = [[0.004, 0.001], [0.002, 0.003, 0.005]]
    found = latency_row(rounds, 2, 7, "a runtime", "cpu", None)
    assert found == {
        "latency_ms": 3.0,
        "latency_q1_ms": 2.0,
        "latency_q3_ms": 4.0,
        "latency_runs": 5,
        "latency_threads": 2,
        "latency_batch": 7,
        "latency_runtime": "a runtime",
        "latency_device": "cpu",
        "latency_layout": None,
    }
    assert json.dumps(found)


def test_a_call_is_repeated_within_its_bounds():
    assert repeat(lambda: 1.0, at_least=3, at_most=7, budget_s=0.0) == [1.0] * 3
    assert repeat(lambda: 2.0, at_least=3, at_most=7, budget_s=10.0) == [2.0] * 7


def test_turns_of_5_ms_or_one_run_alternate_their_order(monkeypatch):
    machine = Machine(monkeypatch)
    fast, slow = take_turns([machine.model("fast", 0.001), machine.model("slow", 0.020)], warmup_s=0, budget_s=0.05)
    assert len(fast) == len(slow) == MIN_ROUNDS
    assert {len(times) for times in fast} <= {5, 6}  # by the rounding of the clock
    assert {tuple(times) for times in slow} == {(0.020,)}
    turns = [(name, len(list(runs))) for name, runs in groupby(machine.order[2:])]
    assert [name for name, _ in turns] == ["fast", "slow"] * 4 + ["fast"]
    assert [count for name, count in turns if name == "slow"] == [2] * 4  # the end of a round and the start of the next


def test_rounds_end_by_number_by_budget_and_by_limit(monkeypatch):
    machine = Machine(monkeypatch)
    assert len(take_turns([machine.model("a", 0.001)], budget_s=100)[0]) == 41
    began = machine.now
    assert len(take_turns([machine.model("a", 0.1), machine.model("b", 0.1)], warmup_s=0, budget_s=2)[0]) == 11
    assert machine.now - began == pytest.approx(2.4)
    assert len(take_turns([machine.model("a", 1.0)], budget_s=1.5)[0]) == MIN_ROUNDS
    assert len(take_turns([machine.model("a", 30.0)])[0]) == 2


def test_images_per_second(monkeypatch):
    machine = Machine(monkeypatch)
    found = throughput_row(machine.model("a", 0.010), 32)
    assert found == {"throughput_images_per_s": pytest.approx(3200), "throughput_batch": 32}
