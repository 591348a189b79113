"""Epochs that runs copied from each other (see `effdl.runs.shared`): what was spent once is counted once."""

import os
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from effdl.report.gather import Run


class Counted(NamedTuple):
    """A run with the epochs that count as its own, and those that count in another run."""

    run: Run
    own: list[dict]
    copies: list[dict]


def counted_once(runs: Sequence[Run]) -> list[Counted]:
    """The epochs of runs: each counts in the first run that has it."""
    found = [(run, run.epochs()) for run in runs]
    place = cache(lambda folder, name: os.path.realpath(folder / name))
    shared = {place(run.path, row["trained_in"]) for run, rows in found for row in rows if "trained_in" in row}
    seen: set[tuple] = set()
    counted = []
    for run, rows in found:
        own, copies = [], []
        for row in rows:
            where = place(run.path, row.get("trained_in", ".")) if shared else ""
            mark = (where, row.get("fit"), row.get("epoch"))
            (copies if mark in seen else own).append(row)
            if where in shared:
                seen.add(mark)
        counted.append(Counted(run, own, copies))
    return counted
