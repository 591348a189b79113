"""Epochs that several runs have, counted by hand."""

import json

from effdl.report.copies import counted_once
from effdl.report.gather import Run


def run(folder, rows):
    folder.mkdir()
    (folder / "epochs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Run(folder, {}, [], {})


def test_each_epoch_counts_once(tmp_path):
    rows = [{"stage": "dense", "fit": 0, "epoch": number} for number in (1, 2)]
    copied = [{**row, "trained_in": "../b"} for row in rows]
    own = [{"stage": "prune", "fit": 1, "epoch": 1}]
    alone = [{"stage": stage, "epoch": 1} for stage in ("dense", "prune")]  # rows that say little are kept
    given = {"a": copied + own, "b": rows + own, "c": copied, "d": alone}
    counted = counted_once([run(tmp_path / name, rows) for name, rows in given.items()])
    assert [found.run.path.name for found in counted] == [*"abcd"]
    assert [found.own for found in counted] == [copied + own, own, [], alone]
    assert [found.copies for found in counted] == [[], rows, copied, []]


def test_runs_without_copies(tmp_path):
    rows = [{"stage": "dense", "fit": 0, "epoch": 1}]
    (found,) = counted_once([run(tmp_path / "a", rows)])
    assert (found.own, found.copies) == (rows, [])
