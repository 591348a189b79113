"""Score columns of gathered rows."""

import json

import pytest

from effdl.report.gather import Run, rows
from effdl.report.scoring import ranked, scored

LAYER = {"name": "0", "shape": [4, 8], "params": 36, "weights": 32, "weights_nonzero": 8, "macs": 32}
LAYER |= {"macs_nonzero": 8, "weight_bits": 32, "activation_bits": 32}


def run(folder, layers, dataset="cifar100", gpu=None):
    """A pruned run whose layers.jsonl holds these rows."""
    folder.mkdir()
    (folder / "layers.jsonl").write_text("".join(json.dumps(layer) + "\n" for layer in layers))
    common = {"params": 36, "macs": 32, "weight_bits": 32.0, "activation_bits": 32.0}
    common |= {"duration_s": 2400.0, "energy_kwh": 0.2 / 3, "evaluate_duration_s": 9.0, "evaluate_energy_kwh": 5.0}
    stages = [
        {"stage": "dense", "method": "train", "params_nonzero": 36, **common},
        {"stage": "prune", "method": "magnitude", "params_nonzero": 12, **common},
        {"stage": "quantize", "method": "int8", "params_nonzero": 12, **common},
    ]
    config = {"dataset": {"option": dataset}, "seed": 0}
    hardware = {"cpu": "EPYC", "gpu": gpu}
    return Run(folder, {"status": "done", "config": config, "threads": 2, "hardware": hardware}, stages, {"epochs": 9})


def test_scores_come_from_the_stages_own_layers(tmp_path):
    runs = [run(tmp_path / "a", [{**LAYER, "stage": "dense", "weights_nonzero": 32}, {**LAYER, "stage": "prune"}])]
    dense, prune, quantize = scored(rows(runs), runs)
    assert dense["micronet_storage"] == 36 * 16 / 32
    assert prune["micronet_storage"] == (8 * 16 + 32 + 4 * 16) / 32
    assert prune["micronet_score"] == pytest.approx(prune["micronet_storage"] / 36.5e6 + 8 * 48 / 32 / 10.49e9)
    assert quantize["micronet_score"] is None  # its layers were not recorded
    assert quantize["dcase_size_kb"] is None
    assert prune["dcase_size_kb"] == 12 * 32 / 8 / 1024
    complexity = [row["dcase_complexity_management"] for row in (dense, prune, quantize)]
    assert complexity == ["-", "magnitude", "magnitude, int8"]


def test_training_cost_is_the_whole_runs(tmp_path):
    runs = [run(tmp_path / "a", []), run(tmp_path / "b", [], gpu="A100")]
    found = scored(rows(runs), runs)
    assert [row["training_hardware"] for row in found] == ["EPYC, 2 threads"] * 3 + ["A100"] * 3
    assert (found[0]["training_power_w"], found[0]["training_hours"]) == (pytest.approx(100), pytest.approx(2))
    assert found[0]["training_kwh_pue"] == pytest.approx(0.2 * 1.58)
    assert found[0]["training_co2e_lbs"] == pytest.approx(0.2 * 1.58 * 0.954)


def test_the_reference_is_the_data_sets(tmp_path):
    layers = [{**LAYER, "stage": "dense"}]
    runs = [run(tmp_path / name, layers, name) for name in ("cifar100", "imagenet", "mnist")]
    found = [row["micronet_reference"] for row in scored(rows(runs), runs) if row["dense"]]
    cifar = "CIFAR-100 (WideResNet-28-10)"
    assert found == [cifar, "ImageNet (MobileNetV2-1.4)", cifar]


def test_ranks_among_the_rows():
    entries = [(0.9, 100.0, 30), (0.8, 50.0, 40), (0.95, None, 20), (0.7, 70.0, 10)]
    found = ranked([dict(zip(("top1", "dcase_memory_kb", "macs"), entry, strict=True)) for entry in entries])
    assert [row["dcase_rank"] for row in found] == [0.5 * 1 + 0.25 * (3 + 2), 0.5 * 2 + 0.25 * (1 + 3), None, 2.25]


def test_the_cloud_cost_is_that_of_the_runs_own_price(tmp_path):
    one, two = run(tmp_path / "a", []), run(tmp_path / "b", [])
    one.run["config"]["energy"] = {"price_per_hour": 1.5}
    found = [row["training_cloud_cost_usd"] for row in scored(rows([one, two]), [one, two]) if row["dense"]]
    assert found == [pytest.approx(3.0), None]


def test_the_course_score_comes_from_the_stages_of_the_same_model(tmp_path):
    """Of 36 parameters 24 were pruned and 2 more are zero after rounding; the teacher is 10 times as large."""
    one = run(tmp_path / "a", [{**LAYER, "stage": "quantize", "weight_bits": 7, "activation_bits": 8}], "cifar10")
    dense, prune, quantize = one.stages
    teacher = {**dense, "stage": "teacher", "params": 360, "params_nonzero": 360, "macs": 320, "top1": 0.95}
    quantize |= {"weight_bits": 7, "activation_bits": 8, "params_nonzero": 10, "top1": 0.89}
    one.stages = [teacher, dense, prune, quantize]
    teacher, dense, prune, quantize = scored(rows([one]), [one])
    assert (teacher["course_p_s"], teacher["course_score"]) == (0, 360 / 5.6e6 + 320 / 2.8e8)
    assert (dense["course_p_u"], prune["course_p_u"]) == (0, 24 / 36)
    assert (quantize["course_p_u"], quantize["course_zeros"]) == (24 / 36, 2 / 36)
    assert quantize["course_score"] == pytest.approx((12 * 8 / 32) / 5.6e6 + 32 * 8 / 32 / 2.8e8)
    assert [row["course_reached"] for row in (teacher, dense, quantize)] == [True, None, False]
