"""Rows of several seeds as points, and the few settings that tell points apart."""

import statistics

import pytest

from effdl.report.plots.points import effective, labels, points, with_costs_so_far


def run_of(number, config, *stages):
    """Rows as `gather.rows` makes them, of stages given as (stage, method, metrics)."""
    return [
        {"run": number, "config": config, "seed": config.get("seed"), "stage": stage, "method": method}
        | {"dense": stage == "dense", **metrics}
        for stage, method, metrics in stages
    ]


def test_seeds_become_a_mean_with_a_standard_deviation():
    tops = [0.90, 0.91, 0.95]
    rows = [
        row
        for seed, top in enumerate(tops)
        for row in run_of(seed, {"seed": seed, "prune": 0.5}, ("prune", "magnitude", {"top1": top, "macs": None}))
    ]
    (found,) = points(rows)
    assert found.mean("top1") == pytest.approx(statistics.mean(tops))
    assert found.spread("top1") == pytest.approx(statistics.stdev(tops))
    assert found.mean("macs") is None
    assert found.config == {"prune": 0.5}


def test_a_seed_that_ran_twice_counts_once():
    rows = [
        row
        for i, (seed, top) in enumerate([(0, 0.9), (0, 0.9), (0, 0.9), (1, 0.8)])
        for row in run_of(i, {"seed": seed}, ("dense", "train", {"top1": top}))
    ]
    (found,) = points(rows)
    assert found.mean("top1") == pytest.approx(0.85)
    assert found.spread("top1") == pytest.approx(statistics.stdev([0.9, 0.8]))


def test_one_seed_has_no_spread():
    (found,) = points(run_of(1, {}, ("dense", "train", {"top1": 0.9})))
    assert found.spread("top1") == 0
    assert found.mean("latency_ms") is None


def sweep():
    rows = []
    for number, (level, bits, seed) in enumerate([(0.5, 8, 0), (0.5, 4, 0), (0.9, 8, 0), (0.5, 8, 1)]):
        config = {"prune": level, "quantize": bits, "seed": seed, "compression.kmeans.level": bits, "device.threads": 1}
        config |= {"compression.magnitude.rounds": 3, "compression.logits.temperature": 4}
        stages = ("dense", "train"), ("prune", "magnitude"), ("quantize", "kmeans")
        rows += run_of(number, config, *((*stage, {"top1": 0.9}) for stage in stages))
    return rows


def test_stages_that_runs_have_in_common_are_one_point():
    found = points(sweep())
    kinds = [point.kind for point in found]
    assert kinds.count("dense") == 1
    assert kinds.count("prune: magnitude") == 2
    assert kinds.count("quantize: kmeans") == 3
    assert sum(len(point.rows) for point in found) == 12


def test_a_config_without_what_had_no_effect_yet():
    dense, pruned, quantized = effective(sweep())[:3]
    assert set(dense) == {"device.threads", "seed", "compression.logits.temperature"}  # a guide trains along
    assert set(pruned) - set(dense) == {"prune", "compression.magnitude.rounds"}
    assert set(quantized) - set(pruned) == {"quantize", "compression.kmeans.level"}


def test_steps_that_are_off_tell_nothing_apart():
    on = {"prune": 0.5, "compression.magnitude.level": 0.5, "compression.magnitude.rounds": 3}
    off = {"prune": None, "compression.magnitude.level": None, "compression.magnitude.rounds": 1}
    rows = run_of(1, on, ("dense", "train", {}), ("prune", "magnitude", {})) + run_of(2, off, ("dense", "train", {}))
    assert [point.kind for point in points(rows)] == ["dense", "prune: magnitude"]


def test_costs_are_summed_along_a_run():
    first = run_of(
        1,
        {},
        ("dense", "train", {"energy_kwh": 1.0, "evaluate_energy_kwh": 0.25, "training_flops": 5.0}),
        ("prune", "magnitude", {"energy_kwh": 2.0, "evaluate_energy_kwh": 0.25, "training_flops": 7.0}),
    )
    second = run_of(2, {}, ("dense", "train", {"energy_kwh": None, "evaluate_energy_kwh": 0.25}))
    second += run_of(2, {}, ("prune", "magnitude", {"energy_kwh": 2.0, "evaluate_energy_kwh": 0.25}))
    found = with_costs_so_far(first + second)
    assert [row["energy_so_far_kwh"] for row in found] == [1.0, 3.0, None, None]
    assert [row["training_flops_so_far"] for row in found] == [5.0, 12.0, None, None]


def test_labels_are_short():
    rows = run_of(1, {"model.option": "mlp", "prune": 0.5}, ("prune", "magnitude", {}))
    rows += run_of(2, {"model.option": "lenet5", "prune": 0.9}, ("prune", "magnitude", {}))
    rows += run_of(3, {"distill": "/a/b/teacher"}, ("quantize", "int8", {}))
    assert labels(points(rows)) == ["magnitude, model=mlp", "magnitude, model=lenet5", "int8"]
    assert labels(points(rows[:2])) == ["model=mlp", "model=lenet5"]


def test_folds_are_samples_too():
    rows = [
        row
        for i, (seed, fold) in enumerate([(0, 0), (0, 1), (1, 0), (1, 0)])
        for row in run_of(i, {"seed": seed, "dataset.fold": fold}, ("dense", "train", {"top1": 0.1 * i}))
    ]
    (found,) = points(rows)
    assert found.values("top1") == pytest.approx([0.0, 0.1, 0.25])
