"""Epochs that runs copied from each other (see `effdl.runs.shared`): what was spent once is counted once."""

import os
from collections.abc import Sequence

from effdl.measure.costs import sum_known
from effdl.measure.metrics import COSTS
from effdl.report.gather import Run


def without_copies(epochs: Sequence[tuple[Run, list[dict]]]) -> tuple[list[tuple[Run, list[dict]]], dict]:
    """The epochs of runs, each once, in the first run that has it; and what the others are.

    Args:
        epochs: each run with its epochs.

    Returns:
        The runs with the epochs that count, and of the others ``epochs``, their number, with their costs by key.
    """
    shared = {_mark(run, row) for run, rows in epochs for row in rows if "trained_in" in row}
    counted, copies, seen = [], [], set()
    for run, rows in epochs:
        own = []
        for row in rows:
            mark = _mark(run, row)
            (copies if mark in seen else own).append(row)
            seen |= shared & {mark}
        counted.append((run, own))
    return counted, {"epochs": len(copies), **{key: sum_known(row.get(key) for row in copies) for key in COSTS}}


def _mark(run: Run, row: dict) -> tuple:
    """What an epoch and its copies have in common: the folder where it was trained, the training, and its number."""
    return os.path.realpath(run.path / row.get("trained_in", ".")), row.get("fit"), row.get("epoch")
