"""``hydra/sweeper=optuna``: what is drawn, told, continued and stored. Most jobs are formulas instead of trainings."""

import json
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

pytest.importorskip("optuna")
from math import log10

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from effdl.config.compose import composed
from effdl.config.hydra_app import call_sweeper, register
from effdl.config.options import config_folder
from effdl.config.overrides import parse, variations
from effdl.sweep.front import show_front
from effdl.sweep.optuna_sweeper import OptunaSweeper, check_sweeper_options, distribution, trial_pruner
from effdl.utils.errors import TrialPruned, UserError

LR = "optimizer.lr=tag(log,interval(0.001,10))"
PRUNE = "prune=interval(0.3,0.9)"


class Job:
    """A job whose accuracy is best at lr=0.1 and whose size falls with prune; `at` says what else happens when."""

    def __init__(self, **at):
        self.at, self.rows, self.numbers = at, [], []

    def __call__(self, config):
        call = len(self.rows)
        self.rows.append((config.optimizer.lr, config.prune))
        self.numbers.append(HydraConfig.get().sweeper.trial)
        if call == self.at.get("interrupted"):
            raise KeyboardInterrupt
        if call == self.at.get("failed"):
            return {"status": "failed", "reason": "the loss is nan", "folder": f"run{call}", "row": None}
        if call == self.at.get("stopped"):
            return {"status": "stopped", "reason": "median pruner", "folder": f"run{call}", "row": None}
        row = {"stage": "prune", "val_top1": 1 - (log10(config.optimizer.lr) + 1) ** 2 / 10, "latency_ms": None}
        row["size_bytes"] = round(1000 * (1 - (config.prune or 0)))
        return {"status": "done", "reason": None, "folder": f"run{call}", "row": row}


def launch(job, *overrides, folder="sweep"):
    """A sweep of mlp with these overrides; its exit code and what it stored."""
    register(OptunaSweeper)
    places = [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}"]
    fixed = ["hydra/sweeper=optuna", "model=mlp", *places, "hydra.sweeper.startup=4"]
    first = next(variations([*fixed, *overrides]))
    tasks = [override.input_line for override in parse([*fixed, *overrides]) if not override.is_hydra_override()]
    code = call_sweeper(first, tasks, job, None, config_folder())
    file = Path(folder) / "optimization.json"
    return code, json.loads(file.read_text()) if file.exists() else None


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("tag(log,interval(0.01,0.5))", FloatDistribution(0.01, 0.5, log=True)),
        ("interval(2,7)", FloatDistribution(2, 7)),
        ("int(interval(2,7))", IntDistribution(2, 7)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(2,7)", IntDistribution(2, 6)),  # as in Python the end is left out
        ("range(8,57,6)", IntDistribution(8, 56, step=6)),
        ("range(6,0,-2)", IntDistribution(2, 6, step=2)),
        ("range(0.25,1,0.25)", FloatDistribution(0.25, 0.75, step=0.25)),
        ("0.1,0.5", CategoricalDistribution(["0.1", "0.5"])),
        ("choice(mlp,lenet5)", CategoricalDistribution(["mlp", "lenet5"])),
        ("[300,100],[50]", CategoricalDistribution(["[300,100]", "[50]"])),
    ],
)
def test_what_is_drawn_from(value, expected):
    (override,) = OverridesParser.create().parse_overrides([f"key={value}"])
    assert distribution(override) == expected


@pytest.mark.parametrize("value", ["tag(log,interval(0,1))", "interval(2,1)", "range(3,3)"])
def test_bounds_that_are_none(value):
    (override,) = OverridesParser.create().parse_overrides([f"key={value}"])
    with pytest.raises(UserError, match=r"^key="):
        distribution(override)


def test_tpe_comes_near_the_best_learning_rate():
    """And draws what plain Optuna does."""
    code, found = launch(job := Job(), LR, "hydra.sweeper.n_trials=10")
    assert (code, len(job.rows), job.numbers) == (0, 10, list(range(10)))
    assert found["objectives"] == {"val_top1": "maximize"}
    (best,) = found["best"]
    values = [row["values"]["val_top1"] for row in found["trials"]]
    assert values[best] == max(values) > 0.99  # lr within a factor of 2.1
    assert found["trials"][best]["overrides"] == [f"optimizer.lr={job.rows[best][0]}"]
    study = optuna.create_study(direction="maximize")
    for number, (lr, _) in enumerate(job.rows):
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=4, seed=number)
        trial = study.ask({"optimizer.lr": FloatDistribution(0.001, 10, log=True)})
        assert float(f"{trial.params['optimizer.lr']:.6g}") == lr
        study.tell(trial, values[number])


def test_nsga2_finds_the_front_of_two_objectives():
    options = ("objectives=[val_top1,size_bytes]", "n_trials=9", "sampler=nsga2")
    code, found = launch(job := Job(), LR, PRUNE, *(f"hydra.sweeper.{option}" for option in options))
    assert code == 0
    assert found["objectives"] == {"val_top1": "maximize", "size_bytes": "minimize"}
    points = {row["trial"]: tuple(row["values"].values()) for row in found["trials"]}
    assert len(points) == 9
    front = {
        (top1, size)
        for top1, size in points.values()
        if not any(t >= top1 and s <= size and (t, s) != (top1, size) for t, s in points.values())
    }
    assert [points[n] for n in found["best"]] == sorted(front)
    assert len(set(job.rows)) == len(job.rows)  # what was tried before is not run again
    assert Path("sweep/pareto.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_that_was_cut_off_ends_as_if_it_was_not(capsys):
    options = (LR, PRUNE, "hydra.sweeper.n_trials=5")
    _, undisturbed = launch(Job(), *options, folder="undisturbed")
    with pytest.raises(KeyboardInterrupt):
        launch(first := Job(interrupted=3), *options)
    code, found = launch(second := Job(), *options, "resume=true")
    assert code == 0
    assert first.numbers + second.numbers == [0, 1, 2, 3, 3, 4]
    assert second.rows[0] == first.rows[3]
    drop = {"folder"}  # which counts the calls here
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in f["trials"]] for f in (found, undisturbed)]
    assert rows[0] == rows[1]
    assert found["best"] == undisturbed["best"]
    assert launch(third := Job(), *options, "resume=true")[0] == 0
    assert third.rows == []
    assert launch(fourth := Job(), LR, PRUNE, "hydra.sweeper.n_trials=6", "resume=true")[0] == 0
    assert fourth.numbers == [5]


def test_failed_and_stopped_trials_are_told_as_such():
    code, found = launch(Job(failed=1, stopped=2), LR, "hydra.sweeper.n_trials=4")
    assert code == 0  # the command's own exit code counts the failed job
    assert [row["state"] for row in found["trials"]] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    assert [row["reason"] for row in found["trials"]] == [None, "the loss is nan", "median pruner", None]
    assert found["trials"][1]["values"] is None
    assert found["best"][0] in (0, 3)


def test_what_was_not_measured_is_a_failure_not_a_zero():
    _, found = launch(Job(), LR, "hydra.sweeper.n_trials=1", "hydra.sweeper.objectives=[latency_ms]")
    (row,) = found["trials"]
    assert (row["state"], row["values"], row["reason"]) == ("FAIL", None, "latency_ms was not measured")
    assert found["best"] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweeper.n_trials=0", LR], "hydra.sweeper.n_trials=0: allowed is a whole number >= 1"),
        (["hydra.sweeper.sampler=grid", LR], "hydra.sweeper.sampler=grid: allowed is one of tpe, nsga2, random"),
        (["hydra.sweeper.objectives=[]", LR], "hydra.sweeper.objectives=[]: allowed is a list"),
        (
            ["hydra.sweeper.pruner=median", "hydra.sweeper.objectives=[val_top1,macs]", LR],
            "hydra.sweeper.pruner=median",
        ),
        (["hydra.sweeper.objectives=[speed]", LR], "speed is not measured as a number (allowed: val_top1, latency_ms,"),
        (["prune=0.5"], "no key to optimize"),
        (["prune=tag(log,interval(0,1))"], "prune=tag(log,interval(0,1)): "),
    ],
    ids=lambda value: "" if isinstance(value, list) else value[:30],
)
def test_a_mistake_gets_one_message(capsys, overrides, message):
    code, found = launch(Job(), *overrides)
    error = capsys.readouterr().err
    assert (code, found) == (2, None)
    assert error.startswith("effdl: ")
    assert message in error
    assert "Traceback" not in error


def test_an_interval_needs_a_sweeper_that_draws():
    overrides = parse(["prune=interval(0.1,0.5)"])
    with pytest.raises(UserError, match=r"^prune=interval\(0\.1,0\.5\): .* add hydra/sweeper=optuna$"):
        check_sweeper_options(composed([], None).hydra.sweeper, overrides)
    check_sweeper_options(composed(["hydra/sweeper=optuna"], None).hydra.sweeper, overrides)
    wrong = composed(["hydra/sweeper=optuna", "hydra.sweeper.seed=-1"], None).hydra.sweeper
    with pytest.raises(UserError, match=r"^hydra\.sweeper\.seed=-1: allowed is"):
        check_sweeper_options(wrong, overrides)


def test_without_optuna_the_user_is_told_how_to_get_it(capsys, monkeypatch, forget):
    forget("effdl.sweep.optuna_study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert launch(Job(), LR) == (2, None)
    assert "hydra/sweeper=optuna: " in (error := capsys.readouterr().err)
    assert "pip install 'effdl[sweep]'" in error


def test_a_study_is_neither_overwritten_nor_mixed_up(capsys):
    launch(Job(), LR, "hydra.sweeper.n_trials=1")
    assert launch(Job(), LR, "hydra.sweeper.n_trials=2")[0] == 2
    assert "holds a study: choose another hydra.sweep.dir" in capsys.readouterr().err
    assert launch(Job(), LR, PRUNE, "resume=true")[0] == 2
    assert "holds a study with other space" in capsys.readouterr().err
    assert launch(Job(), LR, "epochs=3", "resume=true")[0] == 2
    assert "holds a study with other fixed" in capsys.readouterr().err
    assert launch(job := Job(), LR, "hydra.sweeper.n_trials=2", "resume=true")[0] == 0
    assert job.numbers == [1]


def test_a_job_reaches_its_trial_and_is_stopped():
    """Every third trial stays at chance: the median of five or more others is better."""
    seen = []

    def job(config):
        hydra = HydraConfig.get()
        callback, number = trial_pruner(hydra), hydra.sweeper.trial
        accuracy = 0.1 if number % 3 == 2 else 0.8 + 0.01 * number
        try:
            for epoch in (1, 2, 3):
                callback.epoch_end({"epoch": epoch, "val_top1": accuracy})
        except TrialPruned as error:
            seen.append((number, epoch))
            return {"status": "stopped", "reason": str(error), "folder": "x", "row": None}
        return {"status": "done", "reason": None, "folder": "x", "row": {"val_top1": accuracy}}

    _, found = launch(job, LR, "hydra.sweeper.n_trials=9", "hydra.sweeper.pruner=median")
    assert seen == [(5, 1), (8, 1)]  # Optuna's median pruner waits for five complete trials
    assert [row["trial"] for row in found["trials"] if row["state"] == "PRUNED"] == [5, 8]
    assert [row["epochs_seen"] for row in found["trials"]] == [3, 3, 3, 3, 3, 1, 3, 3, 1]
    assert found["best"] == [7]


def test_no_pruner_no_watcher():
    callbacks = []

    def job(config):
        callbacks.append(trial_pruner(HydraConfig.get()))
        return {"status": "done", "reason": None, "folder": "x", "row": {"val_top1": 0.5}}

    launch(job, LR, "hydra.sweeper.n_trials=1")
    assert callbacks == [None]


def test_without_a_validation_split_the_test_split_compares_which_is_said(effdl):
    fixed = ("model=mlp", "epochs=1", "device.threads=1", "energy.enabled=false", "hydra.sweep.dir=sweep")
    options = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.objectives=[top1]", "dataset.val=0")
    code, output, _ = effdl("train", "-m", *options, PRUNE, *fixed)
    assert code == 0
    assert json.loads(Path("sweep/optimization.json").read_text())["choices"] == {"compared": 2, "split": "test"}
    assert "2 compared on the test split: none was measured on a validation split" in " ".join(output.split())


def test_a_real_sweep(effdl):
    """Two trainings through the command line."""
    register(OptunaSweeper)
    fixed = ("model=mlp", "epochs=1", "device.threads=1", "energy.enabled=false", "hydra.sweep.dir=sweep")
    objectives = "hydra.sweeper.objectives=[val_top1,size_bytes,total_duration_s]"
    code, _, _ = effdl("train", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", objectives, PRUNE, *fixed)
    assert code == 0
    found = json.loads(Path("sweep/optimization.json").read_text())
    for row in found["trials"]:
        result = json.loads((Path(row["folder"]) / "result.json").read_text())
        last = result["stages"][-1]
        assert row["values"] == {
            "val_top1": last["val_top1"],
            "size_bytes": last["size_bytes"],
            "total_duration_s": result["total"]["duration_s"],
        }
    assert found["choices"] == {"compared": 2, "split": "validation"}
    show_front(Path("sweep"), pytest.importorskip("rich.console").Console())


@pytest.mark.parametrize("taught", [(), ("distill=teacher", "+model@teacher=mlp")])
def test_pretrainings_are_compared_by_their_neighbours(effdl, taught):
    register(OptunaSweeper)
    fixed = ("model=mlp", f"epochs={len(taught)}", "device.threads=1", "energy.enabled=false", "hydra.sweep.dir=sweep")
    pretraining = ("pretraining=rotation", "pretraining.epochs=1", "optimizer.lr=interval(0.01,0.1)")
    options = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.objectives=[val_knn_top1]")
    assert effdl("train", "-m", *options, *pretraining, *fixed, *taught)[0] == 0
    found = json.loads(Path("sweep/optimization.json").read_text())
    results = [json.loads((Path(row["folder"]) / "result.json").read_text()) for row in found["trials"]]
    stages = [{stage["stage"]: stage for stage in result["stages"]} for result in results]
    values = [of["pretraining"]["val_knn_top1"] for of in stages]
    assert [row["values"]["val_knn_top1"] for row in found["trials"]] == values
    assert len(set(values)) == 2
    assert found["choices"] == {"compared": 2, "split": "validation"}
