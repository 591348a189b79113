"""When a model may be called faster."""

import random
import statistics
from math import comb

import pytest

from effdl.measure.ratio import FASTER, NO_DIFFERENCE, NO_RATIO, SLOWER, Ratio, in_turns, median_interval, ratio_of
from effdl.measure.timing import latency_row


def noisy(random_state, seconds, rounds=41, runs=5, load=0.0):
    """Times of a model on a machine that is busy in some turns, which then take up to a hundred times as long."""
    times = []
    for _ in range(rounds):
        busy = random_state.uniform(2, 100) if random_state.random() < load else 1.0
        times.append([seconds * busy * random_state.lognormvariate(0, 0.05) for _ in range(runs)])
    return times


def compared(random_state, before, after, **how):
    return ratio_of(*(noisy(random_state, seconds, **how) for seconds in (before, after, before)))


@pytest.mark.parametrize(("count", "index"), [(8, 1), (12, 2), (41, 12), (100, 37)])
def test_the_interval_is_that_of_order_statistics(count, index):
    values = random.Random(0).sample(range(1000), count)
    low, high = median_interval(values)
    assert (low, high) == (sorted(values)[index - 1], sorted(values)[count - index])
    outside = [2 * sum(comb(count, k) for k in range(j)) / 2**count for j in (index, index + 1)]
    assert outside[0] <= 0.01 < outside[1]  # no shorter one covers the median with 99 %


def test_the_interval_covers_the_median_as_often_as_it_says():
    draw = random.Random(1)
    samples = [[draw.lognormvariate(0, 1) for _ in range(12)] for _ in range(4000)]
    covered = statistics.mean(low <= 1 <= high for low, high in map(median_interval, samples))
    assert covered == pytest.approx(1 - 2 * (1 + 12) / 2**12, abs=0.004)


def test_too_few_rounds_give_no_interval():
    assert median_interval([1.0] * 7) is None
    assert median_interval([]) is None
    assert compared(random.Random(0), 2.0, 1.0, rounds=7) is None


def test_a_model_that_is_faster_is_found_also_on_a_busy_machine():
    draw = random.Random(2)
    for load in (0.0, 0.2):
        found = compared(draw, 2.0, 1.0, load=load)
        assert found.low < 2 < found.high
        assert found.outcome == FASTER
        assert compared(draw, 1.0, 2.0, load=load).outcome == SLOWER


@pytest.mark.parametrize("load", [0.0, 0.1, 0.5, 0.9])
def test_equal_models_are_never_called_faster(load):
    draw = random.Random(3)
    outcomes = {compared(draw, 1.0, 1.0, load=load).outcome for _ in range(300)}
    assert outcomes == {NO_DIFFERENCE}


def test_neither_is_one_whose_copy_differs_as_much():
    """The first model is unlucky with its memory: it is slower than both of the others."""
    draw = random.Random(4)
    slow, other, copy = (noisy(draw, seconds) for seconds in (1.10, 1.0, 1.0))
    found = ratio_of(slow, other, copy)
    assert found.low > 1
    assert found.resolution > 1.08
    assert found.outcome == NO_DIFFERENCE


def test_the_ends_of_the_interval_decide():
    assert Ratio(1.5, 1.01, 2, 9, 1.0).outcome == FASTER
    assert Ratio(1.5, 1.0, 2, 9, 1.0).outcome == NO_DIFFERENCE
    assert Ratio(1.5, 1.2, 2, 9, 1.2).outcome == NO_DIFFERENCE
    assert Ratio(0.5, 0.4, 0.9, 9, 1.1).outcome == SLOWER
    assert Ratio(0.5, 0.4, 0.95, 9, 1.1).outcome == NO_DIFFERENCE


def test_the_row_of_a_model_beside_the_dense_one():
    rounds = [[[0.002] * 3] * 8, [[0.004] * 3] * 8, [[0.004] * 3] * 8]
    rows = [latency_row(times, 1, 1, f"runtime {number}", "cpu", None) for number, times in enumerate(rounds)]
    assert in_turns(rows, rounds) == rows[0] | {
        "dense_latency_ms": 4.0,
        "dense_latency_runtime": "runtime 1",
        "speedup": 2.0,
        "speedup_low": 2.0,
        "speedup_high": 2.0,
        "speedup_rounds": 8,
        "speedup_resolution": 1.0,
        "speedup_shown": FASTER,
    }
    few = in_turns(rows, [times[:7] for times in rounds])
    assert few == rows[0] | NO_RATIO | {"dense_latency_ms": 4.0, "dense_latency_runtime": "runtime 1"}
    alone = in_turns(rows[:1], rounds[:1])
    assert alone == rows[0] | NO_RATIO | {"dense_latency_ms": None, "dense_latency_runtime": None}
