"""What models cost that were there already."""

import hashlib
from pathlib import Path

from effdl.report.gather import Gathered, Run
from effdl.report.inherited import inherited
from effdl.report.totals import lines, totals

COST = {"duration_s": 3600, "energy_kwh": 0.25, "co2eq_g": 100}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def make(folder, model, **models):
    folder.mkdir()
    (folder / "model.safetensors").write_text(model)
    return Run(folder, {"status": "done", "config": {"seed": 0}, "models": models}, [], {})


def test_a_model_is_counted_once_at_any_remove_and_not_if_its_run_is_there(tmp_path):
    first = {"sha256": digest("first"), "total": COST, "models": {}}
    second = {"sha256": digest("second"), "total": {**COST, "energy_kwh": 0.5}, "models": {"first": first}}
    file = {"sha256": digest("file"), "total": None, "models": None}
    runs = [
        make(tmp_path / "a", "a", second=second),
        make(tmp_path / "b", "b", first=first, file=file),
        make(tmp_path / "second", "second"),
    ]
    assert sorted(map(str, inherited(runs))) == sorted(map(str, [COST, None]))
    assert inherited(runs[2:]) == []
    sums = totals(Gathered(runs[:2], []), [])
    assert sums["inherited"]["models"] == 3
    assert sums["inherited"]["energy_kwh"] == 0.75
    assert (
        "began with, or learned from, 3 models of other runs, not in the cost: 2 h, 750 Wh, 200 g CO2eq"
        ", without 1 that does not tell"
    ) in lines(sums)
    assert totals(Gathered(runs[2:], []), [])["inherited"] is None


def test_models_are_known_by_what_the_stages_of_their_run_say_without_their_files():
    first = {"sha256": digest("first"), "total": COST}
    silent = {"sha256": digest("first"), "total": None}
    run = Run(Path("nowhere"), {"models": {"a": first, "b": silent}}, [{"model_sha256": digest("own")}], {})
    made = Run(Path("nowhere"), {}, [{"model_sha256": digest("first")}, {"model_sha256": digest("pruned")}], {})
    assert inherited([run]) == [COST]  # another run does not tell, but this one does
    assert inherited([run, made]) == []


def test_runs_of_earlier_versions_do_not_tell():
    run = Run(Path("nowhere"), {"models": {"x": {"sha256": "0", "config": {}}}}, [], {})
    assert inherited([run]) == [None]
