"""Epochs that runs copied from each other (see `effdl.runs.shared`): what was spent once is counted once."""

import os
from collections.abc import Sequence
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
    places = {
        run.path: {name: os.path.realpath(run.path / name) for name in {row.get("trained_in", ".") for row in rows}}
        for run, rows in found
        if any("trained_in" in row for row in rows)
    }
    shared = {place for named in places.values() for name, place in named.items() if name != "."}
    here = {run.path: os.path.realpath(run.path) for run in runs} if shared else {}
    seen: set[tuple] = set()
    counted = []
    for run, rows in found:
        own, copies = [], []
        for row in rows:
            place = places.get(run.path, {}).get(row.get("trained_in", "."), here.get(run.path))
            mark = (place, row.get("fit"), row.get("epoch"))
            (copies if mark in seen else own).append(row)
            if place in shared:
                seen.add(mark)
        counted.append(Counted(run, own, copies))
    return counted
