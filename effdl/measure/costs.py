"""Sums of what stages, epochs and runs cost. Standard library only."""

from collections.abc import Iterable, Mapping

from effdl.measure.metrics import METERED, on_measuring

# What is summed over the stages of a run.
SPENT = (*METERED, "training_flops", *map(on_measuring, METERED))


def sum_or_none(values: Iterable[float | None]) -> float | None:
    """A sum, unknown (None) if a part is unknown."""
    values = list(values)
    return None if None in values else sum(values)


def sum_known(values: Iterable[float | None]) -> float | None:
    """The sum of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def spent(stages: Iterable[Mapping]) -> dict[str, float | None]:
    """What all stages cost, and under keys of its own what measuring them cost.

    Rows that were written before a key was there leave its sum unknown.
    """
    stages = list(stages)
    return {key: sum_or_none(row.get(key) for row in stages) for key in SPENT}
