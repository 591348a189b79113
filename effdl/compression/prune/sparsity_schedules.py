"""Schedules of sparsity, from 0 to 1, over the steps of pruning."""


def geometric(before: float, after: float, steps: int) -> list[float]:
    """The sparsity after each step, where every step removes the same fraction of what is left; the last is `after`.

    Han et al. 2015, section 3.4 and Frankle & Carbin 2019, section 2 (rounds of 20 % of what is left).
    """
    if after <= before:
        return [after]
    left = (1 - after) / (1 - before)
    return [*(1 - (1 - before) * left ** (step / steps) for step in range(1, steps)), after]


def cubic(before: float, after: float, progress: float) -> float:
    """The sparsity at `progress` (0 to 1), which grows from `before` to `after`, fast at first and then slower.

    Zhu & Gupta 2017, "To prune, or not to prune", equation 1.
    """
    return after + (before - after) * (1 - progress) ** 3
