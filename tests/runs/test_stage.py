"""What a stage leaves and costs."""

import logging
import os

import pytest
import torch

from effdl.measure.energy import Energy
from effdl.measure.metrics import METERED
from effdl.runs.folder import RunFolder
from effdl.runs.stage import (
    check_loss,
    keep_layers,
    measuring_cost,
    recorded,
    stage_cost,
    warn_of_guessing,
    warn_of_others,
)
from effdl.utils.errors import RunError
from effdl.utils.rows import Rows

LAYER = {"name": "0", "shape": [2, 2], "weights": 4, "weight_bits": 32, "activation_bits": 32, "macs": 4}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def epoch(stage, fit, **cost):
    costs = {key: float(number) for number, key in enumerate(METERED, start=1)}
    return {"stage": stage, "fit": fit, **costs, "training_flops": 5, "memory_peak_bytes": 7} | cost


def test_a_stage_costs_what_its_epochs_and_the_rest_cost(folder):
    unfrozen = {"memory_peak_bytes": 9, "params_trainable": 4}
    for row in (epoch("dense", 0), epoch("prune", 1, params_trainable=3), epoch("prune", 1, **unfrozen)):
        Rows(folder.epochs_file).append(row)
    found = stage_cost(folder, "prune", Energy(*[0.5] * len(METERED)))
    costs = {key: 2.0 * number + 0.5 for number, key in enumerate(METERED, start=1)}
    assert found == {"epochs": 2, **costs, "params_trainable": 4, "training_flops": 10, "memory_peak_bytes": 9}


def test_what_is_unknown_of_an_epoch_or_of_the_rest_is_unknown_of_the_stage(folder):
    for row in (epoch("dense", 0), epoch("dense", 0, energy_kwh=None, memory_peak_bytes=None)):
        Rows(folder.epochs_file).append(row)
    found = stage_cost(folder, "dense", Energy(duration_s=1.5, energy_kwh=0.0, co2eq_g=None))
    assert (found["duration_s"], found["energy_kwh"], found["memory_peak_bytes"]) == (3.5, None, None)
    assert found["co2eq_g"] is None


def test_a_stage_without_epochs_costs_the_rest(folder):
    found = stage_cost(folder, "quantize", Energy(duration_s=2.0, energy_kwh=None))
    assert (found["epochs"], found["duration_s"], found["energy_kwh"]) == (0, 2.0, None)


def test_measuring_has_keys_of_its_own():
    found = measuring_cost(Energy(duration_s=1.0, energy_kwh=None, co2eq_g=2.0))
    known = {key: value for key, value in found.items() if value is not None}
    assert known == {"evaluate_duration_s": 1.0, "evaluate_co2eq_g": 2.0}
    assert len(found) == len(METERED)


@pytest.mark.parametrize(("busy", "warned"), [(None, False), (0.0, False), (0.9, False), (5.7, True)])
def test_the_load_of_others_is_warned_of(busy, warned, caplog, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with caplog.at_level(logging.WARNING):
        warn_of_others("dense", {"duration_s": 5.0, "others_cpu_s": busy})
    said = "dense: other programs used 57 % of the processors: it took longer, and more energy, than it would alone"
    assert [record.getMessage() for record in caplog.records] == [said] * warned


@pytest.mark.parametrize(
    ("epochs", "top1", "warned"), [(3, 0.5, True), (3, 0.51, True), (3, 0.52, False), (0, 0.5, False), (3, None, False)]
)
def test_a_training_that_taught_nothing_is_warned_of(epochs, top1, warned, caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_guessing("dense", {"epochs": epochs, "train_top1": top1}, torch.tensor([0, 2, 2, 1]))
    said = (
        f"dense: top-1 on its training images is {100 * (top1 or 0):.1f} %, guessing gives 50.0 %: it learned nothing, "
        "or forgot it; lower optimizer.lr, or set clip_norm or warm-up"
    )
    assert [record.getMessage() for record in caplog.records] == [said] * warned


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
