"""``effdl train -m``: sweeps with failing jobs, killed sweeps, and who may write where."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from effdl.runs.folder import RunFolder
from effdl.sweep.folder import jobs_of
from effdl.utils.rows import Rows

QUICK = ("model=mlp", "epochs=1", "hydra.sweep.dir=sweep", "energy.enabled=false")


def runs(folder: Path | str = "sweep") -> dict[str, dict]:
    """``run.json`` of every run, by the name of its folder."""
    return {file.parent.name: json.loads(file.read_bytes()) for file in sorted(Path(folder).glob("*/run.json"))}


def newest_jobs(folder: Path | str = "sweep") -> list[dict]:
    """How the jobs of the last launch stand."""
    return jobs_of(max(Path(folder, ".jobs").iterdir(), key=lambda file: file.stat().st_mtime_ns))


def test_every_run_has_a_folder_named_after_its_config(effdl):
    code, output, _ = effdl("train", "-m", *QUICK, "model=mlp,lenet5", "prune=0.3,0.9")
    assert code == 0
    names = ["-".join(name.split("-")[:3]) for name in runs()]
    assert names == ["lenet5-prune0.3-seed0", "lenet5-prune0.9-seed0", "mlp-prune0.3-seed0", "mlp-prune0.9-seed0"]
    for name, run in runs().items():
        assert name.endswith(run["config_fingerprint"][:8])
    results = {name: json.loads(Path("sweep", name, "result.json").read_text())["stages"] for name in runs()}
    zeros = [stages[1]["weight_sparsity"] for stages in results.values()]
    assert zeros == pytest.approx([0.3, 0.9, 0.3, 0.9], abs=1e-5)
    assert "4 done" in output
    assert "model=lenet5 prune=0.9" in output


def test_flags_may_stand_anywhere(effdl):
    assert effdl("train", "model=mlp", "-m", "epochs=0,1", "hydra.sweep.dir=sweep")[0] == 0
    assert len(runs()) == 2


def test_a_failing_job_is_named_and_does_not_stop_the_sweep(effdl):
    code, output, _ = effdl("train", "-m", *QUICK, "optimizer.lr=0.1,1e20,0.05")
    assert code == 1
    assert "failed optimizer.lr=1e+20: the loss is" in output
    assert "2 done, 1 failed" in output
    assert sorted(run["status"] for run in runs().values()) == ["done", "done", "failed"]


def test_a_defect_is_not_success_either(effdl, monkeypatch):
    from effdl.compression.prune import masker

    def crash(scores, count):
        raise RuntimeError("a defect")

    monkeypatch.setattr(masker, "topk_mask", crash)
    code, output, _ = effdl("train", "-m", *QUICK, "prune=0,0.5")
    assert code == 1
    assert "RuntimeError: a defect" in output
    assert "Traceback" in next(Path("sweep").glob("mlp-prune0.5*/train.log")).read_text()


def test_a_job_that_cannot_begin_leaves_a_record(effdl):
    code, output, _ = effdl("train", "-m", *QUICK, "distill=null,/nowhere")
    assert code == 1
    failed = next(run for run in runs().values() if run["status"] == "failed")
    assert failed["reason"].startswith("distill=/nowhere")
    assert failed["config"]["distill"] == "/nowhere"
    assert "failed distill=/nowhere: distill=/nowhere: " in output
    output = effdl("train", "-m", *QUICK, "distill=null,/nowhere", "resume=true")[1]
    assert "failed distill=/nowhere: distill=/nowhere: " in output  # the reason, not that there is a failed run


def test_resume_skips_what_is_done_and_repeats_what_failed(effdl):
    arguments = ("train", "-m", *QUICK, "optimizer.lr=0.1,0.05,1e20")
    assert effdl(*arguments)[0] == 1
    gone, kept = (name for name, run in runs().items() if run["status"] == "done")
    shutil.rmtree(Path("sweep", gone))
    before = Path("sweep", kept, "run.json").read_bytes()
    code, output, _ = effdl(*arguments, "resume=true")
    assert code == 1
    assert "1 done, 1 skipped, 1 failed" in output
    assert Path("sweep", kept, "run.json").read_bytes() == before
    assert [runs()[name]["status"] for name in (gone, kept)] == ["done", "done"]
    assert next(run for run in runs().values() if run["status"] == "failed")["resumed"] == 1


def test_finished_runs_are_not_overwritten_without_resume(effdl):
    assert effdl("train", "-m", *QUICK, "prune=0.3,0.5")[0] == 0
    before = {name: Path("sweep", name, "run.json").read_bytes() for name in runs()}
    code, output, _ = effdl("train", "-m", *QUICK, "prune=0.5,0.7")
    assert code == 1
    assert "already holds a run (status done)" in output
    assert {name: Path("sweep", name, "run.json").read_bytes() for name in before} == before
    assert len(runs()) == 3


def test_resume_finds_the_sweep_by_its_overrides(effdl):
    arguments = ("train", "-m", "model=mlp", "epochs=0", "prune=0.3,0.5")
    code, output, _ = effdl(*arguments, "resume=true")
    assert code == 0
    assert "no such sweep was launched here, starting a new one" in output
    code, output, _ = effdl(*arguments, "resume=true")
    assert code == 0
    assert "2 skipped" in output
    assert len(list(Path("outputs").rglob("result.json"))) == 2


def test_configs_are_frozen_at_launch(effdl):
    own = Path("own/experiment/mine.yaml")
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nepochs: 1\n")
    arguments = ("train", "-m", *QUICK[::2], "experiment=mine", "prune=0.3,0.5", "--config-dir", "own")
    assert effdl(*arguments)[0] == 0
    shutil.rmtree(Path("sweep", next(iter(runs()))))
    own.write_text("# @package _global_\nepochs: 3\n")
    assert effdl(*arguments, "resume=true")[0] == 0
    assert [run["config"]["epochs"] for run in runs().values()] == [1, 1]


def test_a_sweep_of_before_a_key_goes_on(effdl):
    """Its copies of the configs lack the keys that came later, and its finished runs are still those of its jobs."""
    arguments = ("train", "-m", *QUICK, "prune=0.3,0.5")
    assert effdl(*arguments)[0] == 0
    [copy] = Path("sweep").rglob("train.yaml")
    copy.write_text("".join(line for line in copy.read_text().splitlines(keepends=True) if not line.startswith("l1:")))
    code, output, error = effdl(*arguments, "resume=true")
    assert (code, error) == (0, "")
    assert "2 skipped" in output


def test_a_run_that_another_process_is_at_is_waited_for(effdl):
    arguments = ("train", "-m", *QUICK, "prune=0.3,0.5")
    assert effdl(*arguments)[0] == 0
    other = ExitStack()
    other.enter_context(RunFolder(Path("sweep", next(iter(runs())))).owned())
    threading.Timer(1.5, other.close).start()
    began = time.monotonic()
    code, output, _ = effdl(*arguments, "resume=true")
    assert code == 0
    assert time.monotonic() - began > 1.4
    assert "2 skipped" in output


def test_a_run_that_another_process_is_at_is_left_alone(effdl):
    arguments = ("train", "-m", *QUICK, "prune=0.3,0.5")
    assert effdl(*arguments)[0] == 0
    folder = RunFolder(Path("sweep", next(iter(runs()))))
    before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}
    with folder.owned():
        code, output, _ = effdl(*arguments)
    assert code == 1
    assert "is being written to by another process" in output
    assert {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()} == before


def test_an_interrupted_sweep_says_how_to_continue(effdl, monkeypatch):
    from effdl.runs import prepare

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "prepare_run", interrupt)
    code, output, _ = effdl("train", "-m", *QUICK, "prune=0.3,0.5", "seed=1,2")
    assert code == 130
    assert "1 interrupted, 3 not begun" in output
    assert f"to continue: effdl train -m {' '.join(QUICK)} prune=0.3,0.5 seed=1,2 resume=true" in output


@pytest.mark.parametrize("arguments", ["prune=0.5,1.5", "model=mlp,resnt", "resume=outputs/x prune=0.3,0.5"])
def test_a_mistake_is_told_before_anything_is_made(effdl, arguments):
    code, _, error = effdl("train", "-m", *arguments.split())
    assert code == 2
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_a_launcher_that_is_not_installed_says_what_to_install():
    from hydra.errors import MissingConfigException

    from effdl.config.compose import explain, search_path
    from effdl.config.options import config_folder

    error = MissingConfigException("In 'train': Could not find 'hydra/launcher/joblib'", "hydra/launcher/joblib")
    with search_path(None, config_folder()):
        assert explain(error, []) == "hydra/launcher=joblib needs its plugin: pip install 'effdl[sweep]'"


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_processes_carry_the_jobs_out(effdl, launcher):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    code, output, _ = effdl("train", "-m", *QUICK, f"hydra/launcher={launcher}", "optimizer.lr=0.1,1e20")
    assert code == 1
    assert "1 done, 1 failed" in output
    assert {row["pid"] for file in Path("sweep/.jobs").iterdir() for row in Rows(file).read() if "pid" in row} - {
        os.getpid()
    }


BROKEN = {  # in three ways: a loss that explodes, a teacher that is not there, a pattern that fits not every layer
    "explodes": {"optimizer": {"lr": 1e20}},
    "untaught": {"distill": "nobody"},
    "unfit": {"prune": "2:7"},
}
REASONS = {"explodes": "the loss is ", "untaught": "distill=nobody: ", "unfit": "prune=2:7: "}


def experiments(folder: Path, count: int) -> str:
    """Write so many experiments that work, and the broken ones between them; returns their names with commas."""
    works = {f"works{number}": {"prune": round(0.1 * (number + 1), 1)} for number in range(count)}
    (folder / "experiment").mkdir(parents=True)
    for name, values in (works | BROKEN).items():
        text = "# @package _global_\n" + yaml.safe_dump({"epochs": 2, **values})
        (folder / "experiment" / f"{name}.yaml").write_text(text)
    names = list(works)
    for position, name in enumerate(BROKEN):
        names.insert(2 + 2 * position, name)
    return ",".join(names)


OWN = ("--config-dir", "own", "model=mlp", "energy.enabled=false")


def launch(folder: Path, *arguments: str) -> subprocess.Popen:
    """A sweep in a group of processes of its own."""
    command = [sys.executable, "-m", "effdl", "train", "-m", *OWN, *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def test_values_and_options_of_groups_may_be_swept_together(effdl):
    arguments = ("optimizer=sgd,adam", "topk=[1],[5]", "dataset.val=0.1,0.2")
    code, output, _ = effdl("train", "-m", *QUICK, "epochs=0", *arguments)
    assert code == 0
    assert "8 done" in output
    chosen = [run["config"] for run in runs().values()]
    assert {(c["optimizer"]["option"], *c["topk"], c["dataset"]["val"]) for c in chosen} == set(
        itertools.product(("sgd", "adam"), (1, 5), (0.1, 0.2))
    )


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_key_may_be_one_of_the_swept_options_only(effdl, launcher):
    """The default optimizer, which a config without what is swept has, has no such key."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ("optimizer=adam,adamw", "optimizer.beta1=0.8", f"hydra/launcher={launcher}")
    code, output, error = effdl("train", "-m", *QUICK, *arguments)
    assert (code, error) == (0, ""), output
    found = [run["config"]["optimizer"] for run in runs().values()]
    assert {(one["option"], one["beta1"]) for one in found} == {("adam", 0.8), ("adamw", 0.8)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("model=mlp,resnet model.hidden=[8]", "effdl: model.hidden is not a key"),
        ("model=resnet,mlp model.depth=20", "effdl: model.depth is not a key"),
        ("optimizer=sgd,adamw model=mlp,vit optimizer.momentum=0.5", "effdl: optimizer.momentum is not a key"),
        ("model=mlp,torchvision dropout=0,0.1", "effdl: dropout=0.1 has no effect"),
    ],
)
def test_a_job_that_does_not_fit_is_named_before_any_starts(effdl, arguments, said):
    code, _, error = effdl("train", "-m", *QUICK[1:], *arguments.split())
    assert code == 2
    assert error.startswith(said)
    assert error.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_the_job_that_does_not_fit_is_named_by_all_that_is_swept(effdl):
    error = effdl("train", "-m", *QUICK[1:], "model=mlp,torchvision", "dropout=0,0.1", "seed=3,4")[2]
    assert error.rstrip().endswith("(in the job model=torchvision dropout=0.1 seed=3)")


def ended(folder: Path) -> int:
    """How many runs are done."""
    return len(list(folder.glob("sweep/*/result.json")))


def kill_twice(folder: Path, count: int, *arguments: str) -> None:
    """Kill a sweep when a third of its runs are done, resume it, and kill it at two thirds."""
    for kill, resume in ((count // 3, "false"), (2 * count // 3, "true")):
        process = launch(folder, *arguments, f"resume={resume}")
        while ended(folder) < kill:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def accuracies(run: Path) -> list[float]:
    """Top-1 after every stage."""
    return [row["top1"] for row in json.loads((run / "result.json").read_text())["stages"]]


def same_results_as_undisturbed(effdl, folder: Path, count: int, *arguments: str) -> None:
    """A sweep with broken jobs, killed twice and resumed, against the same sweep left alone."""
    names = experiments(folder / "own", count)
    own = (*arguments, f"experiment={names}")
    kill_twice(folder, count, *own, "hydra.sweep.dir=sweep")
    code, output, _ = effdl("train", "-m", *OWN, *own, "hydra.sweep.dir=sweep", "resume=true")
    assert code == 1
    for name in BROKEN:
        assert f"failed experiment={name}: {REASONS[name]}" in output
    assert "3 failed" in output
    code, output, _ = effdl("train", "-m", *OWN, *own, "hydra.sweep.dir=undisturbed")
    assert code == 1
    assert f"{count} done, 3 failed" in output
    done = [name for name, run in runs(folder / "undisturbed").items() if run["status"] == "done"]
    assert len(done) == count
    for name in done:
        mine, theirs = folder / "sweep" / name, folder / "undisturbed" / name
        assert (mine / "model.safetensors").read_bytes() == (theirs / "model.safetensors").read_bytes()
        assert accuracies(mine) == accuracies(theirs)


def test_a_killed_sweep_ends_like_an_undisturbed_one(effdl, tmp_path):
    same_results_as_undisturbed(effdl, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_twelve_jobs_three_broken_killed_twice(effdl, tmp_path, launcher):
    same_results_as_undisturbed(effdl, tmp_path, 9, f"hydra/launcher={launcher}")
