"""Filtering, sorting, averaging over seeds."""

import math
from pathlib import Path

import pytest

from effdl.report.compare import SHORT
from effdl.report.gather import Run, rows
from effdl.report.select import Lookup, group, last_stages, sort, where
from effdl.utils.errors import UserError


def run(top1, seed=0, lr=0.1, **values):
    """A run of two stages."""
    config = {"model": {"option": "mlp"}, "optimizer": {"lr": lr}, "epochs": 9, "seed": seed}
    cost = {"duration_s": 30.0, "energy_kwh": 5e-4, "co2eq_g": 0.5}
    stages = [
        {"stage": "dense", "method": "train", "top1": 0.5, "size_bytes": 1000, "epochs": 3, **cost},
        {"stage": "prune", "method": "magnitude", "top1": top1, "size_bytes": 100, "epochs": 4, **cost, **values},
    ]
    return Run(Path(f"runs/{lr}/{seed}"), {"status": "done", "config": config}, stages, {"epochs": 7})


def gathered(*runs):
    """Runs, the rows of their last stages, and the lookup."""
    found = rows(list(runs))
    return list(runs), last_stages(found), Lookup(list(runs), found, SHORT)


def tops(found):
    return [row["top1"] for row in found]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("top1=0.9", [0.9]),
        ("top1>=0.9", [0.9, 0.95]),
        ("top1 > 0.9", [0.95]),
        ("top1<0.9", [0.8]),
        ("top1<=0.9", [0.8, 0.9]),
        ("top1!=0.9", [0.8, 0.95, None]),
        ("top1=null", [None]),
        ("size=100", [0.8, 0.9, 0.95, None]),
        ("optimizer.lr=0.2", [0.9]),
        ("config.optimizer.lr>0.1", [0.9]),
        ("model=mlp", [0.8, 0.9, 0.95, None]),
        ("model=resnet", []),
        ("model>5", []),
        ("epochs=4", [0.8, 0.9, 0.95, None]),
        ("config.epochs=9", [0.8, 0.9, 0.95, None]),
        ("config.epochs=4", []),
        ("dense=false", [0.8, 0.9, 0.95, None]),
        ("latency_note=no runtime = none", [0.95]),
    ],
)
def test_where(condition, kept):
    _, found, lookup = gathered(
        run(0.8), run(0.9, lr=0.2), run(0.95, seed=1, latency_note="no runtime = none"), run(None, seed=2)
    )
    assert tops(where(found, condition, lookup)) == kept


@pytest.mark.parametrize(
    ("condition", "said"), [("top1", "KEY=VALUE"), ("topp1=1", "did you mean 'top1'"), ("=1", "KEY")]
)
def test_where_refuses(condition, said):
    _, found, lookup = gathered(run(0.8))
    with pytest.raises(UserError, match=said):
        where(found, condition, lookup)


def test_sort_puts_what_is_unknown_last():
    _, found, lookup = gathered(run(0.8), run(None, seed=1), run(0.95, seed=2), run(0.9, lr=0.2))
    assert tops(sort(found, "top1", lookup)) == [0.8, 0.9, 0.95, None]
    assert tops(sort(found, "-top1", lookup)) == [0.95, 0.9, 0.8, None]
    assert tops(sort(found, "-optimizer.lr", lookup))[0] == 0.9
    assert [row["name"] for row in sort(found, "name", lookup)] == sorted(row["name"] for row in found)
    with pytest.raises(UserError, match="nothing"):
        sort(found, "-nothing", lookup)


def test_last_stages():
    found = rows([run(0.8), run(0.9, seed=1)])
    assert [row["stage"] for row in found] == ["dense", "prune"] * 2
    assert [row["stage"] for row in last_stages(found)] == ["prune", "prune"]


def test_group_over_seeds():
    runs, found, _ = gathered(run(0.8), run(0.9, seed=1), run(0.94, seed=2, latency_ms=1.0), run(0.7, lr=0.2))
    three, one = group(found, runs)
    assert (three["n"], one["n"]) == (3, 1)
    assert three["top1"] == pytest.approx((0.8 + 0.9 + 0.94) / 3)
    mean = (0.8 + 0.9 + 0.94) / 3
    deviations = [(value - mean) ** 2 for value in (0.8, 0.9, 0.94)]
    assert three["top1_std"] == pytest.approx(math.sqrt(sum(deviations) / 2))  # sample: n - 1
    assert three["size_bytes_std"] == 0
    assert (one["top1"], one["top1_std"]) == (0.7, None)
    assert three["latency_ms"] is None  # one of them was not timed
    assert (three["seed"], one["seed"]) == (None, 0)
    assert (three["stage"], three["method"], three["dense"]) == ("prune", "magnitude", False)
    assert (three["name"], one["name"]) == ("lr=0.1", "lr=0.2")
    assert three["folders"] == [f"runs/0.1/{seed}" for seed in range(3)]


def test_runs_of_one_seed_are_one_sample():
    """The last one that is done counts, whatever its folder is called."""
    again, late, new = run(0.7), run(0.9), run(0.8, seed=1)
    for folder, started, repeat in (("b", "2026-01-02", again), ("a", "2026-01-03", late)):
        repeat.path, repeat.run["started"] = Path(folder), started
    runs, found, _ = gathered(run(0.6), again, late, new)
    (one,) = group(found, runs)
    assert (one["n"], one["top1"]) == (2, pytest.approx(0.85))
    assert one["top1_std"] == pytest.approx(math.sqrt(2 * 0.05**2))
    assert (one["folders"], one["repeated"]) == (["a", "runs/0.1/1"], ["runs/0.1/0", "b"])
    late.run["status"] = "failed"
    (one,) = group(last_stages(rows(runs)), runs)
    assert (one["top1"], one["repeated"]) == (pytest.approx(0.75), ["runs/0.1/0", "a"])


def test_group_keeps_stages_apart():
    runs = [run(0.8), run(0.9, seed=1)]
    assert [(row["stage"], row["n"]) for row in group(rows(runs), runs)] == [("dense", 2), ("prune", 2)]


def test_folds_of_a_config_are_one_group():
    runs = []
    for lr in (0.1, 0.2):
        for fold in range(3):
            made = run(0.5 + lr + fold / 10, lr=lr)
            made.run["config"] = made.run["config"] | {"dataset": {"option": "digits", "folds": 3, "fold": fold}}
            runs.append(made)
    runs.append(run(0.9, lr=0.1, seed=1))
    runs[-1].run["config"]["dataset"] = runs[0].run["config"]["dataset"]
    found = group(last_stages(rows(runs)), runs)
    assert [(row["name"], row["n"]) for row in found] == [("lr=0.1", 4), ("lr=0.2", 3)]
    assert found[1]["top1"] == pytest.approx(0.8)
    assert found[1]["top1_std"] == pytest.approx(0.1)
    assert (found[0]["seed"], found[1]["seed"]) == (None, 0)
