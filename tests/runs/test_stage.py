"""What a stage leaves and costs."""

import pytest

from effdl.measure.energy import Energy, EnergyMeter
from effdl.runs.folder import RunFolder
from effdl.runs.stage import check_loss, evaluation_cost, keep_layers, recorded, sum_or_none, training_cost
from effdl.utils.errors import RunError
from effdl.utils.rows import Rows

LAYER = {"name": "0", "shape": [2, 2], "weights": 4, "weight_bits": 32, "activation_bits": 32, "macs": 4}
METER = EnergyMeter(enabled=False, country=None, pue=1.0)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def epoch(stage, fit, **cost):
    return {
        "stage": stage,
        "fit": fit,
        "duration_s": 1.5,
        "energy_kwh": 2.0,
        "co2eq_g": 3.0,
        "memory_peak_bytes": 7,
    } | cost


def test_a_stage_costs_what_its_epochs_cost(folder):
    for row in (epoch("dense", 0), epoch("prune", 1), epoch("prune", 1, memory_peak_bytes=9)):
        Rows(folder.epochs_file).append(row)
    found = training_cost(folder, "prune", METER)
    assert found == {"epochs": 2, "duration_s": 3.0, "energy_kwh": 4.0, "co2eq_g": 6.0, "memory_peak_bytes": 9}


def test_what_is_unknown_of_an_epoch_is_unknown_of_the_stage(folder):
    for row in (epoch("dense", 0), epoch("dense", 0, energy_kwh=None, memory_peak_bytes=None)):
        Rows(folder.epochs_file).append(row)
    found = training_cost(folder, "dense", METER)
    assert (found["duration_s"], found["energy_kwh"], found["memory_peak_bytes"]) == (3.0, None, None)
    assert sum_or_none([1, None]) is None
    assert sum_or_none([]) == 0


def test_a_stage_without_training_costs_nothing_that_no_meter_could_have_seen(folder):
    found = training_cost(folder, "quantize", METER)
    assert (found["epochs"], found["duration_s"], found["energy_kwh"]) == (0, 0.0, None)


def test_measuring_has_keys_of_its_own():
    assert evaluation_cost(Energy(duration_s=1.0, energy_kwh=None, co2eq_g=2.0)) == {
        "evaluate_duration_s": 1.0,
        "evaluate_energy_kwh": None,
        "evaluate_co2eq_g": 2.0,
    }


def test_a_stage_that_undoes_an_earlier_one_fails_the_run(folder):
    keep_layers(folder, "dense", [{**LAYER, "weights_nonzero": 4}])
    keep_layers(folder, "prune", [{**LAYER, "weights_nonzero": 2}])
    with pytest.raises(RunError, match="quantize undid what prune had brought: 0 has 3 non-zero weights, had 2"):
        keep_layers(folder, "quantize", [{**LAYER, "weights_nonzero": 3}])
    keep_layers(folder, "quantize", [{**LAYER, "weights_nonzero": 1}])
    assert [(row["stage"], row["weights_nonzero"]) for row in Rows(folder.layers_file).read()] == [
        ("dense", 4),
        ("prune", 2),
        ("quantize", 1),
    ]


def test_a_recorded_stage_is_found(folder):
    assert recorded(folder, "dense") is None
    Rows(folder.stages_file).append({"stage": "dense", "top1": 0.5})
    assert recorded(folder, "dense")["top1"] == 0.5


def test_a_loss_that_is_not_finite_is_refused():
    check_loss({"loss": 1.0})
    with pytest.raises(RunError, match=r"the loss on the test split is nan: lower optimizer\.lr"):
        check_loss({"loss": float("nan")})
