"""The bill of all runs, added up by hand."""

import json
from pathlib import Path

import pytest

from effdl.report.gather import Gathered, Run, rows
from effdl.report.totals import compute, images, lines, totals, winner

EPOCH = {"stage": "dense", "fit": 0, "images_per_s": 50.0, "duration_s": 2.0, "energy_kwh": 0.1, "co2eq_g": 4.0}
SOURCE = {"cpu": "estimated", "gpu": "unavailable"}


def row(stage, macs, top1, **values):
    """A measured stage's row."""
    cost = {"duration_s": 1800.0, "energy_kwh": 0.2, "co2eq_g": 4.0}
    cost |= {"evaluate_duration_s": 360.0, "evaluate_energy_kwh": 0.05, "evaluate_co2eq_g": 2.0}
    return {"stage": stage, "method": stage, "macs": macs, "top1": top1, **cost, **values}


def make(folder, stages, epochs, total=None, status="done", resumed=0, **config):
    """A run whose files hold these rows."""
    folder.mkdir()
    (folder / "epochs.jsonl").write_text("".join(json.dumps(item) + "\n" for item in epochs))
    run = {"status": status, "resumed": resumed, "config": {"seed": 0, **config}}
    return Run(folder, run, stages, total or {})


def sweep(folder):
    """Two settings, one of them with two seeds, and a run that failed in its second stage."""
    total, dear = {"epochs": 1, "source": SOURCE}, {"duration_s": 3600.0, "energy_kwh": 0.5}
    prune = {**EPOCH, "stage": "prune"}
    return Gathered(
        [
            make(folder / "a", [row("dense", 1000, 0.9), row("prune", 500, 0.8)], [EPOCH, prune], total, lr=0.1),
            make(folder / "b", [row("dense", 1000, 0.95, **dear)], [EPOCH], total, seed=1, lr=0.1),
            make(folder / "c", [row("dense", 1000, 0.99)], [EPOCH, prune], status="failed", resumed=2, lr=0.2),
        ],
        [(Path("broken"), "empty")],
    )


def summed(found, best="top1"):
    last = {item["run"]: item for item in rows(found.runs)}
    return totals(found, list(last.values()), best)


def test_totals_by_hand(tmp_path):
    sums = summed(sweep(tmp_path))
    assert sums["runs"] == {"done": 2, "failed": 1}
    assert (sums["damaged"], sums["epochs"], sums["hyperparameters"], sums["settings"]) == (1, 5, 1, 2)
    assert sums["images"] == 500  # 50 a second for 2 seconds, five times
    # Forward 2 x MACs, backward twice that. The failed run's second stage counts with the dense model's MACs.
    assert sums["training_flops"] == 6 * 100 * (1000 + 500 + 1000 + 1000 + 1000)
    assert sums["training_petaflop_s_days"] == pytest.approx(sums["training_flops"] / (1e15 * 86400))
    assert sums["epochs_without_flops"] == 0
    # The failed run: a stage, and an epoch of the one that was not measured.
    assert sums["duration_h"] == pytest.approx(2 + 0.5 + 2 / 3600)
    assert sums["energy_kwh"] == pytest.approx(2 * 0.2 + 0.5 + 0.2 + 0.1)
    assert sums["co2eq_g"] == pytest.approx(8 + 4 + 4 + 4)
    assert sums["evaluate_duration_h"] == pytest.approx(0.4)
    assert (sums["evaluate_energy_kwh"], sums["evaluate_co2eq_g"]) == (pytest.approx(0.2), 8)
    assert sums["sources"] == {"cpu": {"estimated": 2}, "gpu": {"unavailable": 2}}
    assert (sums["runs_without_energy"], sums["runs_resumed"]) == (0, 1)


def test_folds_are_no_hyperparameter(tmp_path):
    folds = [{"option": "digits", "folds": 2, "fold": fold, "split_seed": fold} for fold in (0, 1)]
    runs = [
        make(tmp_path / f"{lr}{fold['fold']}", [row("dense", 1000, 0.9)], [EPOCH], dataset=fold, lr=lr)
        for lr in (0.1, 0.2)
        for fold in folds
    ]
    sums = summed(Gathered(runs, []))
    assert (sums["hyperparameters"], sums["settings"]) == (1, 2)


def test_the_winner_is_a_finished_run_with_its_share(tmp_path):
    best = summed(sweep(tmp_path))["winner"]
    assert best["folder"] == str(tmp_path / "b")
    assert (best["by"], best["value"], best["energy_kwh"]) == ("top1", 0.95, 0.5)
    assert best["share_of_energy"] == pytest.approx(0.5 / 1.2)


def test_the_lowest_course_score_wins_if_it_reaches_the_line():
    entries = [("a", 0.1, 0.8), ("b", 0.3, 0.9), ("c", 0.4, 0.95)]
    found = [
        {"folder": name, "name": name, "status": "done", "course_score": score, "top1": top1}
        for name, score, top1 in entries
    ]
    assert winner(found, {"a": 1.0, "b": 1.0, "c": None}, "course_score")["folder"] == "b"
    assert winner(found, {"a": 1.0, "b": 1.0, "c": None}, "course_score")["share_of_energy"] == 0.5
    assert winner(found[:1], {"a": 1.0}, "course_score") is None
    assert winner(found[2:], {"c": None}, "course_score")["share_of_energy"] is None


def test_the_validation_split_decides_if_all_runs_have_one(tmp_path):
    """The test split would have chosen a, also for the course's score."""
    entries = [("a", 0.95, 0.92, 0.1), ("b", 0.91, 0.97, 0.2)]
    found = [
        {"folder": name, "name": name, "status": "done", "top1": top1, "val_top1": val, "course_score": score}
        for name, top1, val, score in entries
    ]
    spent = {"a": None, "b": None}
    best = winner(found, spent, "top1")
    assert (best["folder"], best["by"], best["value"]) == ("b", "val_top1", 0.97)
    assert (best["compared"], best["split"]) == (2, "validation")
    found[0]["val_top1"] = 0.89  # below the course's line
    assert winner(found, spent, "course_score")["folder"] == "b"
    best = winner([{**found[0], "val_top1": None}, found[1]], spent, "top1")
    assert (best["folder"], best["compared"], best["left_out"], best["split"]) == ("b", 1, 1, "validation")
    best = winner([{**row, "val_top1": None} for row in found], spent, "top1")
    assert (best["folder"], best["compared"], best["left_out"], best["split"]) == ("a", 2, 0, "test")


@pytest.mark.parametrize("key", ["dataset.fold", "dataset.split_seed"])
def test_configs_that_validate_on_different_images_are_compared_by_their_means(key):
    """One by one the easiest fold would win."""
    values = [(0.1, 0, 0.99), (0.1, 1, 0.81), (0.2, 0, 0.95), (0.2, 1, 0.93)]
    found = [
        {"folder": f"{lr} {draw}", "name": f"lr={lr}", "status": "done", "top1": 0.9, "val_top1": val}
        | {"config": {"lr": lr, key: draw}}
        for lr, draw, val in values
    ]
    best = winner(found, {row["folder"]: 1.0 for row in found}, "top1")
    assert (best["folder"], best["splits"], best["compared"], best["left_out"]) == ("0.2 0", 2, 2, 0)
    assert best["value"] == pytest.approx(0.94)
    assert (best["energy_kwh"], best["share_of_energy"]) == (2.0, 0.5)


def test_counted_flops_are_believed(tmp_path):
    run = make(tmp_path / "a", [row("dense", 10, 0.5)], [{**EPOCH, "training_flops": 123.0}, EPOCH], {"epochs": 2})
    assert compute(run, [{**EPOCH, "training_flops": 123.0}, EPOCH]) == (123 + 6 * 100 * 10, 200, 0)
    sums = summed(Gathered([run]))
    assert (sums["training_flops"], sums["flops_counted"]) == (6123, False)
    assert "partly estimated as 3 x 2 x MACs x images" in lines(sums)[1]
    run = make(tmp_path / "b", [row("dense", 10, 0.5)], [{**EPOCH, "training_flops": 123.0}], {"epochs": 1})
    assert "(forward, backward and teachers, as executed)" in lines(summed(Gathered([run])))[1]


def test_recorded_images_are_believed():
    assert images({"images": 90, "images_per_s": 50.0, "duration_s": 2.0}) == 90
    assert images({"images_per_s": 50.0, "duration_s": 2.0}) == 100
    assert images({"images_per_s": 50.0}) is None


def test_what_is_not_known_is_not_zero(tmp_path):
    run = make(tmp_path / "a", [], [EPOCH, {**EPOCH, "energy_kwh": None}], status="interrupted")
    assert compute(run, [EPOCH]) == (None, 100, 1)
    sums = summed(Gathered([run]))
    assert (sums["training_flops"], sums["epochs_without_flops"]) == (None, 2)
    assert sums["winner"] is None
    cost = {"duration_s": 1.0, "energy_kwh": None, "co2eq_g": None}
    unknown = make(tmp_path / "b", [row("dense", 10, 0.5, **cost)], [], {"epochs": 0})
    sums = summed(Gathered([unknown]))
    assert (sums["energy_kwh"], sums["co2eq_g"], sums["runs_without_energy"]) == (None, None, 1)
    assert sums["duration_h"] == pytest.approx(1 / 3600)


def test_lines(tmp_path):
    text = lines(summed(sweep(tmp_path)))
    assert text[0] == "runs: 2 done, 1 failed, 1 damaged; 5 epochs; 2 settings of 1 hyperparameters that vary"
    assert text[1].startswith(
        "training compute: 2.7 MFLOP = 3.12e-14 petaflop/s-days (partly estimated as 3 x 2 x MACs x images"
    )
    assert "images as speed x time" in text[1]
    assert text[2] == (
        "cost: 2.5 h, 1.2 kWh, 20 g CO2eq (cpu estimated, gpu unavailable; 1 resumed runs, without what was cut off)"
    )
    assert text[3] == "measuring them, not in the cost: 0.4 h, 200 Wh, 8 g CO2eq"
    assert text[4].startswith("best top1: 95.00 % by lr=0.1 seed=1")
    assert text[4].endswith(
        "b), 41.67 % of the energy (2 compared on the test split: none was measured on a validation split)"
    )


def test_lines_of_nothing_measured():
    text = lines(summed(Gathered([])))
    assert text == [
        "runs: none; 0 epochs; 0 settings of 0 hyperparameters that vary",
        "cost: not recorded (energy was not measured)",
    ]


def test_what_runs_share_is_spent_once(tmp_path):
    """Three runs with one first training of 0.8 kWh; of the last one's step no energy is known, so it is in no sum."""
    dense = {"stage": "dense", "fit": 0, "epoch": 1, "images_per_s": 50.0, "duration_s": 2.0, "energy_kwh": 0.8}
    stages = [row("dense", 1000, 0.9, energy_kwh=0.8), row("prune", 500, 0.8, energy_kwh=0.2)]
    unknown = [stages[0], row("prune", 500, 0.8, energy_kwh=None)]
    total = {"epochs": 1, "source": SOURCE}
    runs = [make(tmp_path / "a", stages, [dense], total, lr=0.1)]
    for name, found in (("b", stages), ("c", unknown), ("d", unknown)):
        runs.append(make(tmp_path / name, found, [{**dense, "trained_in": "../a"}], total, lr=0.1))
    sums = summed(Gathered(runs))
    assert (sums["epochs"], sums["copied_epochs"]) == (1, 3)
    assert sums["energy_kwh"] == pytest.approx(0.8 + 0.2 + 0.2)
    assert sums["duration_h"] == pytest.approx(4 - 3 * 2 / 3600)
    assert sums["winner"]["share_of_energy"] == pytest.approx(1 / 1.2)
    assert "1 epochs (another 3 are copies of these)" in lines(sums)[0]
