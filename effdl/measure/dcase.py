"""The row of the challenge DCASE, task 1: acoustic scene classification of low complexity. Standard library only."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from effdl.measure.scores import counted_bits, missing

# DCASE 2023, task 1 (https://dcase.community/challenge2023/task-low-complexity-acoustic-scene-classification):
# "weighted average rank of classification accuracy, memory usage, and MACS".
RANKED_BY = {"top1": 0.5, "dcase_memory_kb": 0.25, "macs": 0.25}


def model_kb(parameters: Iterable[tuple[int, float]]) -> float:
    """Size in KB (1,024 bytes) of (parameters, bits)."""
    return sum(count * bits for count, bits in parameters) / 8 / 1024


def dcase_columns(row: dict, layers: Sequence[dict], management: Sequence[str]) -> dict:
    """The columns of the challenge that are not in the row already.

    ``dcase_size_kb`` counts the non-zero parameters (2020, task 1b, at most 500 KB: Heittola et al. 2020,
    arXiv:2005.14623), ``dcase_memory_kb`` all of them (since 2022, at most 128 KB), each with its bits.

    Args:
        layers: the stage's rows of ``layers.jsonl``.
        management: methods applied so far: the challenge's "complexity management".
    """
    size, memory = None, None
    if layers and not missing(row, ("params", "params_nonzero")):
        bits = [counted_bits(layer) for layer in layers]
        others = 16 if all(own == 16 for own in bits) else 32
        size, memory = (
            model_kb([*zip(weights, bits, strict=True), (row[total] - sum(weights), others)])
            for weights, total in (
                ([layer["weights_nonzero"] for layer in layers], "params_nonzero"),
                ([layer["weights"] for layer in layers], "params"),
            )
        )
    return {
        "dcase_size_kb": size,
        "dcase_memory_kb": memory,
        "dcase_complexity_management": ", ".join(management) or "-",
    }


def weighted_ranks(entries: Sequence[Sequence[float | None]], weights: Sequence[float]) -> list[float | None]:
    """The weighted mean of each entry's ranks by its criteria, all of them "lower is better".

    Ranks begin at 1, and equal values share the mean of theirs. An entry without a value for each criterion has none.

    Args:
        weights: one for each criterion, 1 in sum.
    """
    complete = [i for i, entry in enumerate(entries) if None not in entry]
    columns = [sorted(column) for column in zip(*(entries[i] for i in complete), strict=True)]
    found: list[float | None] = [None] * len(entries)
    for i in complete:
        ranks = [_rank(value, column) for value, column in zip(entries[i], columns, strict=True)]
        found[i] = sum(weight * rank for weight, rank in zip(weights, ranks, strict=True))
    return found


def _rank(value: float, ordered: Sequence[float]) -> float:
    """Rank of a value among values in ascending order, from 1; equal values share the mean of their ranks."""
    return (bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2
