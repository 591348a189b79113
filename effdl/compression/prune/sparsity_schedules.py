"""How sparsity grows over the steps of a schedule."""


def geometric(before: float, after: float, steps: int) -> list[float]:
    """Sparsities after each step, each of which removes the same fraction of what is left; the last is `after`.

    Han et al. 2015, section 3.4 and Frankle & Carbin 2019, section 2 (rounds of 20 % of what is left).
    """
    if after <= before:
        return [after]
    left = (1 - after) / (1 - before)
    return [*(1 - (1 - before) * left ** (step / steps) for step in range(1, steps)), after]


def cubic(before: float, after: float, progress: float) -> float:
    """Sparsity when the part `progress` (0 to 1) of the pruning is over: fast at first, then slower and slower.

    Zhu & Gupta 2017, "To prune, or not to prune", equation 1.
    """
    return after + (before - after) * (1 - progress) ** 3
