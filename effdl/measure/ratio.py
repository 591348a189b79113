"""How many times faster one model is than another, and whether the measurement shows that it is.

Two models are timed in turns (`effdl.measure.timing.take_turns`), together with a copy of the first. The ratio of
their medians in each round is one observation. Two things must be clear before a difference is claimed:

- The interval of the median ratio is wholly on one side of 1. It is distribution-free: with probability
  1 - 2 P(B < j), B ~ Binomial(n, 1/2), the median lies between the j-th smallest and the j-th largest of n independent
  observations (David and Nagaraja 2003, Order Statistics, 3rd edition, section 7.1).
- It is farther from 1 than the interval of the model against its own copy. Equal models differ by where their memory
  lies and by what the machine does besides (Mytkowicz et al. 2009, Producing Wrong Data Without Doing Anything
  Obviously Wrong), and the rounds of a busy machine are not independent: the copy shows how much that is.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effdl.measure.timing import Rounds

_CONFIDENCE = 0.99  # 8 observations are the fewest that give such an interval
FASTER, SLOWER, NO_DIFFERENCE = "faster", "slower", "no difference that this machine can show"


@dataclass(frozen=True)
class Ratio:
    """How many times faster a model is than another.

    Args:
        median, low, high: of the rounds' ratios, and the ends of the interval of this median.
        rounds: number of rounds.
        resolution: a ratio that is not beyond this, or below its inverse, is also found between equal models; >= 1.
    """

    median: float
    low: float
    high: float
    rounds: int
    resolution: float

    @property
    def outcome(self) -> Literal["faster", "slower", "no difference that this machine can show"]:
        """What the measurement shows."""
        if self.low > self.resolution:
            return FASTER
        return SLOWER if self.high < 1 / self.resolution else NO_DIFFERENCE

    def row(self) -> dict:
        """The keys of a stage's row."""
        return {
            "speedup": self.median,
            "speedup_low": self.low,
            "speedup_high": self.high,
            "speedup_rounds": self.rounds,
            "speedup_resolution": self.resolution,
            "speedup_shown": self.outcome,
        }


NO_RATIO = dict.fromkeys(Ratio(1, 1, 1, 0, 1).row())  # where two models were not timed together


def ratio_of(before: Rounds, after: Rounds, control: Rounds) -> Ratio | None:
    """The ratio of the times of two models that took turns with a copy of the first, the control.

    None if there were too few rounds for an interval.
    """
    ratio, equal = _by_round(before, after), _by_round(before, control)
    interval, between_equal = median_interval(ratio), median_interval(equal)
    if interval is None or between_equal is None:
        return None
    low, high = between_equal
    return Ratio(statistics.median(ratio), *interval, len(ratio), max(1.0, high, 1 / low))


def median_interval(values: Sequence[float], confidence: float = _CONFIDENCE) -> tuple[float, float] | None:
    """The shortest symmetric interval of order statistics that covers the median with this probability.

    None if there are too few values for one.
    """
    outside, each, index = 0.0, 0.5 ** len(values), 0  # P(B < index), P(B = index)
    while 2 * (outside + each) <= 1 - confidence:
        outside, each, index = outside + each, each * (len(values) - index) / (index + 1), index + 1
    ordered = sorted(values)
    return (ordered[index - 1], ordered[-index]) if index else None


def _by_round(before: Rounds, after: Rounds) -> list[float]:
    """The ratio of the medians in each round."""
    pairs = zip(before, after, strict=True)
    return [statistics.median(one) / statistics.median(other) for one, other in pairs]


def in_turns(latencies: Sequence[dict], rounds: Sequence[Rounds]) -> dict:
    """The keys of a stage's row for a model that was timed alone, or in turns with the dense model and a copy of it.

    Args:
        latencies: the `latency_row` of each.
        rounds: the times of each.

    Returns:
        The model's own latency, the dense model's, and their ratio; None where there is no dense model, and no ratio
        where there were too few rounds.
    """
    own, *dense = latencies
    ratio = ratio_of(rounds[1], rounds[0], rounds[2]) if dense else None
    return {
        **own,
        "dense_latency_ms": dense[0]["latency_ms"] if dense else None,
        "dense_latency_runtime": dense[0]["latency_runtime"] if dense else None,
        **(ratio.row() if ratio else NO_RATIO),
    }
