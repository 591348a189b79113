"""Cross-validation in one command."""

import json
from pathlib import Path
from statistics import mean, stdev

import pytest

from effdl.measure.student_t import mean_interval

QUICK = ("model=mlp", "epochs=1", "hydra.sweep.dir=sweep", "energy.enabled=false", "dataset.subset=200")


def accuracies(key):
    """Of the last stage of each run, by the run's learning rate and fold."""
    found = {}
    for file in Path("sweep").glob("*/run.json"):
        config = json.loads(file.read_bytes())["config"]
        stage = json.loads(file.with_name("result.json").read_bytes())["stages"][-1]
        found.setdefault(config["optimizer"]["lr"], {})[config["dataset"]["fold"]] = stage[key]
    return found


def table_of(output):
    """The cells of the rows below the heading of a cross-validation, by their first word."""
    lines = output.partition("Cross-validation:")[2].splitlines()[3:]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines[: lines.index("")]}


def test_all_folds_are_a_sweep_that_ends_with_mean_deviation_and_interval(effdl):
    command = ("train", "-m", *QUICK, "dataset.folds=2", "dataset.fold=all", "optimizer.lr=0.1,0.01")
    code, output, _ = effdl(*command)
    assert code == 0
    assert "4 done" in output
    found = accuracies("val_top1")
    assert [sorted(folds) for folds in found.values()] == [[0, 1]] * 2
    for lr, folds in found.items():
        low, high = (100 * end for end in mean_interval([folds[i] for i in range(2)]))
        expected = f"2 2 {100 * mean(folds.values()):.2f} % {100 * stdev(folds.values()):.2f} %"
        assert table_of(output)[f"optimizer.lr={lr}"] == f"{expected} {max(0, low):.2f} % to {min(100, high):.2f} %"
    assert "Student's t over the folds" in output
    assert "Bengio & Grandvalet 2004" in output
    assert "4 skipped" in (again := effdl(*command, "resume=true"))[1]
    assert table_of(again[1]) == table_of(output)

    code, report, _ = effdl("report", "sweep", "--group")
    assert code == 0
    assert sorted(table_of(report).values()) == sorted(table_of(output).values())
    assert "Cross-validation" not in effdl("report", "sweep")[1]


def test_the_number_of_folds_may_come_from_an_experiment(effdl, tmp_path):
    folder = tmp_path / "own/experiment"
    folder.mkdir(parents=True)
    (folder / "cv.yaml").write_text("# @package _global_\ndataset:\n  folds: 2\n  fold: all\n")
    code, output, error = effdl("train", "-m", *QUICK, "--config-dir", "own", "experiment=cv")
    assert (code, error) == (0, "")
    assert "2 done" in output
    assert list(table_of(output)) == ["-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dataset.folds=5", "dataset.fold=all"), "all folds are a sweep, which needs -m"),
        (("-m", "dataset.fold=all"), "dataset.fold=all needs the number of folds: dataset.folds=null"),
        (("-m", "dataset.folds=1", "dataset.fold=all"), "dataset.folds=1 (allowed: a whole number >= 2)"),
        (("-m", "dataset.folds=2,3", "dataset.fold=all"), "dataset.folds has several values"),
        (("-m", "dataset.folds=2", "dataset.fold=all", "hydra/sweeper=optuna"), "allowed: hydra/sweeper=grid"),
        (("-m", "dataset.fold=0,1"), "dataset.fold=1 has no effect without dataset.folds=K"),
        (("dataset.fold=3",), "dataset.fold=3 has no effect without dataset.folds=K"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(effdl, tmp_path, arguments, message):
    code, _, error = effdl("train", "model=mlp", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
