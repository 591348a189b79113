"""Epochs that several runs have, counted by hand."""

from effdl.report.copies import without_copies
from effdl.report.gather import Run


def test_each_epoch_counts_once(tmp_path):
    cost = {"duration_s": 2.0, "energy_kwh": 0.5, "co2eq_g": None}
    rows = [{"stage": "dense", "fit": 0, "epoch": number, **cost} for number in (1, 2)]
    copied = [{**row, "trained_in": "../b"} for row in rows]
    own = [{"stage": "prune", "fit": 1, "epoch": 1, **cost}]
    runs = [Run(tmp_path / name, {}, [], {}) for name in ("a", "b", "c", "d")]
    alone = [{"stage": stage, "epoch": 1, **cost} for stage in ("dense", "prune")]  # rows that say little are kept
    given = [copied + own, rows + own, copied, alone]
    counted, copies = without_copies(list(zip(runs, given, strict=True)))
    assert [len(found) for _, found in counted] == [3, 1, 0, 2]
    assert [run.path.name for run, _ in counted] == ["a", "b", "c", "d"]
    assert copies == {"epochs": 4, "duration_s": 8.0, "energy_kwh": 2.0, "co2eq_g": None}


def test_runs_without_copies(tmp_path):
    given = [(Run(tmp_path / "a", {}, [], {}), [{"stage": "dense", "fit": 0, "epoch": 1}])]
    assert without_copies(given) == (given, {"epochs": 0, "duration_s": None, "energy_kwh": None, "co2eq_g": None})
