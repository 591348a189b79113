"""Trainings that the runs of a sweep have in common, against runs by themselves."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from effdl.config.compose import composed, settings
from effdl.models.stored import load_model
from effdl.runs.folder import RunFolder
from effdl.runs.shared import SharedTrainings, beginning
from effdl.training.checkpoint import Checkpoint
from effdl.training.epoch_log import EpochLog
from effdl.utils.rows import Rows

QUICK = ("model=mlp", "epochs=2", "energy.enabled=false", "device.threads=1")
MACHINE = {"threads": 1, "versions": {"torch": "2"}, "hardware": {"cpu": "a", "device": "cpu", "gpu": None}}


def folder_of(name: str, sweep: str = "sweep") -> Path:
    """The run of a sweep whose folder begins with a name."""
    (found,) = Path(sweep).glob(f"{name}-seed*")
    return found


def epochs(folder: Path | str) -> list[dict]:
    return Rows(Path(folder) / "epochs.jsonl").read()


def same_weights(*folders: Path | str) -> bool:
    first, second = (load_model(folder).state_dict() for folder in folders)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_sweep_trains_once_what_its_runs_share(effdl):
    code, output, _ = effdl("train", "-m", *QUICK, "prune=0.5,0.8,null", "hydra.sweep.dir=sweep")
    assert code == 0
    assert "3 done" in output
    assert "2 copied their first trainings from others" in output
    source = folder_of("mlp-prune0.5")
    assert not any("trained_in" in row for row in epochs(source))
    copy, single = folder_of("mlp-prune0.8"), Path("single")
    assert effdl("train", *QUICK, "prune=0.8", "hydra.run.dir=single")[0] == 0
    assert same_weights(copy, single)
    copied = [row for row in epochs(copy) if row.pop("trained_in", None) == f"../{source.name}"]
    assert copied == epochs(source)[:2]
    assert [row["stage"] for row in epochs(copy)] == [row["stage"] for row in epochs(single)]
    flops = [RunFolder(folder).result["total"]["training_flops"] for folder in (copy, single)]
    assert flops[0] == flops[1]
    assert "runs: 3 done; 4 epochs (another 4 are copies of these)" in effdl("report", "sweep")[1]


def test_what_is_killed_is_resumed_and_then_shared(effdl):
    command, swept = ("train", *QUICK, "epochs=20"), ("-m", "prune=0.5,0.8", "hydra.sweep.dir=sweep")
    process = subprocess.Popen([sys.executable, "-m", "effdl", *command, *swept], stdout=subprocess.DEVNULL)
    while not any(len(file.read_bytes().splitlines()) >= 3 for file in Path("sweep").glob("*/epochs.jsonl")):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 3 <= len(epochs(folder_of("mlp-prune0.5"))) < 20
    assert effdl(*command, *swept, "resume=true")[0] == 0
    assert sum("trained_in" in row for row in epochs(folder_of("mlp-prune0.8"))) == 20
    assert effdl(*command, "prune=0.8", "hydra.run.dir=single")[0] == 0
    assert same_weights(folder_of("mlp-prune0.8"), "single")


@pytest.mark.slow
def test_two_jobs_at_a_time(effdl):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert effdl("train", "-m", *QUICK, *joblib, "prune=0.5,0.8", "hydra.sweep.dir=sweep")[0] == 0
    copied = [sum("trained_in" in row for row in epochs(folder_of(f"mlp-prune{level}"))) for level in (0.5, 0.8)]
    assert sorted(copied) == [0, 2]


# --- which runs begin alike


def begins(*overrides: str, **run) -> str:
    config = settings(composed([*QUICK, *overrides], None))
    return beginning({"config": config, "data_fingerprint": "a", **MACHINE, **run}, config)


@pytest.mark.parametrize(
    "overrides",
    [
        ["prune=0.5"],
        ["quantize=4", "factorize=0.5"],
        ["prune=0.5", "compression.magnitude.retrain=rewind_lr"],
        ["compression=[filters]", "prune=0.5"],
        ["logger=tensorboard"],
        ["resume=true"],
    ],
)
def test_steps_are_no_part_of_the_beginning(overrides):
    assert begins(*overrides) == begins()


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=1"],
        ["epochs=3"],
        ["optimizer.lr=0.3"],
        ["model.hidden=[20]"],
        ["dataset.labelled=100"],
        ["augment=[none]"],
        ["pretraining=simclr"],
        ["trainable=head"],
        ["device.threads=2"],
        ["distill=self", "prune=0.5"],
        ["prune=0.5", "compression.magnitude.retrain=rewind_weights", "compression.magnitude.rewind_epoch=1"],
    ],
)
def test_all_else_is(overrides):
    assert begins(*overrides) != begins()


def test_so_are_images_machines_code_and_given_weights():
    other = {**MACHINE, "hardware": {**MACHINE["hardware"], "cpu": "b"}}
    models = [{"models": {"run": {"sha256": digest}}} for digest in ("1", "2")]
    changed = [{}, {"data_fingerprint": "b"}, other, {"versions": {"torch": "2", "effdl": "2"}}, *models]
    assert len({begins(**run) for run in changed}) == len(changed)
    config = settings(composed([*QUICK], None))
    run = {"config": config, "data_fingerprint": "a", **MACHINE}
    assert len({beginning(run, config, code) for code in ((), ("1",), ("2",))}) == 3


def test_configs_and_code_of_ones_own_that_were_changed_meanwhile(effdl):
    Path("own/model").mkdir(parents=True)
    for level in (0.5, 0.8):
        Path("own/model/mine.py").write_text(f"LEVEL = {level}\n")
        command = ("train", "-m", "--config-dir", "own", *QUICK, f"prune={level}", "hydra.sweep.dir=sweep")
        assert effdl(*command)[0] == 0
    found = [row for file in Path("sweep").glob("*/epochs.jsonl") for row in epochs(file.parent)]
    assert len(found) == 6
    assert not any("trained_in" in row for row in found)


def test_a_step_that_trains_a_teacher_first(effdl):
    """The teacher's training has the number that the first one has without it."""
    level = "compression.born_again.level=teacher,null"
    swept = ("+model@teacher=mlp", "compression=[born_again]", "distill=null", level, "hydra.sweep.dir=sweep")
    assert effdl("train", "-m", *QUICK, *swept)[0] == 0
    assert not any("trained_in" in row for file in Path("sweep").glob("*/epochs.jsonl") for row in epochs(file.parent))


# --- taking turns, and what cannot be copied


@pytest.fixture
def run_in(tmp_path):
    """A run under way in a folder of this name."""

    def begun(name: str, *overrides: str) -> tuple[RunFolder, dict]:
        folder, config = RunFolder(tmp_path / "sweep" / name), settings(composed([*QUICK, *overrides], None))
        folder.path.mkdir(parents=True)
        folder.start(config, {"data_fingerprint": "a", **MACHINE})
        return folder, config

    return begun


def train(folder: RunFolder, **changed) -> None:
    """What a finished training leaves."""
    row = {"epoch": 1, "loss": 0.5}
    Checkpoint(folder.path, 0, folder.key).save({"finished": True, "rows": [row], "model": {}, "early": None} | changed)


def rows_of(folder: RunFolder) -> list[dict] | None:
    """The epochs of a run's checkpoint; None: there is none."""
    state = Checkpoint(folder.path, 0, folder.key).load()
    return state and state["rows"]


def test_a_run_waits_for_the_training_of_another(tmp_path, run_in):
    shared, done = SharedTrainings(tmp_path / "sweep" / ".shared"), threading.Event()
    first, second = run_in("a", "prune=0.5"), run_in("b", "prune=0.8")

    def other():
        with shared.training(*second, "dense", 0):
            done.set()

    with shared.training(*first, "dense", 0):
        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.3)
        train(first[0])
    assert done.wait(5)
    thread.join()
    assert rows_of(second[0]) == [{"epoch": 1, "loss": 0.5, "trained_in": "../a"}]
    with shared.training(*run_in("t"), "teacher", 0):  # of the same number
        pass
    assert rows_of(RunFolder(tmp_path / "sweep" / "t")) is None
    with shared.training(*run_in("c", "seed=1"), "dense", 0):  # another training
        pass
    assert rows_of(RunFolder(tmp_path / "sweep" / "c")) is None


def test_one_that_fails_leaves_it_to_the_next(tmp_path, run_in):
    shared, folders = SharedTrainings(tmp_path / "sweep" / ".shared"), [run_in("a"), run_in("b"), run_in("c")]
    with pytest.raises(KeyboardInterrupt), shared.training(*folders[0], "dense", 0):
        raise KeyboardInterrupt
    with shared.training(*folders[1], "dense", 0):
        assert rows_of(folders[1][0]) is None
        train(folders[1][0])
    with shared.training(*folders[2], "dense", 0):
        assert rows_of(folders[2][0]) == [{"epoch": 1, "loss": 0.5, "trained_in": "../b"}]


def test_a_run_that_has_begun_goes_on_by_itself_at_once(tmp_path, run_in):
    shared, first, second = SharedTrainings(tmp_path / "sweep" / ".shared"), run_in("a"), run_in("b")
    train(second[0], finished=False, rows=[])
    with shared.training(*first, "dense", 0):
        with shared.training(*second, "dense", 0):  # nobody is waited for
            assert rows_of(second[0]) == []
        train(first[0])
    with shared.training(*second, "dense", 0):
        assert rows_of(second[0]) == []


def test_a_run_that_went_on_elsewhere_is_not_copied(tmp_path, run_in):
    """Its training may be of the other machine."""
    shared, first, second = SharedTrainings(tmp_path / "sweep" / ".shared"), run_in("a"), run_in("b")
    train(first[0])
    other = {**MACHINE, "hardware": {**MACHINE["hardware"], "cpu": "b"}}
    first[0].start(first[1], {"data_fingerprint": "a", **other})
    with shared.training(*first, "dense", 0):
        pass
    second[0].start(second[1], {"data_fingerprint": "a", **other})
    with shared.training(*second, "dense", 0):
        assert rows_of(second[0]) is None


def test_a_copy_is_nobodys_source(tmp_path, run_in):
    shared, runs = SharedTrainings(tmp_path / "sweep" / ".shared"), [run_in(name) for name in "ab"]
    with shared.training(*runs[0], "dense", 0):
        train(runs[0][0])
    with shared.training(*runs[1], "dense", 0):
        EpochLog(runs[1][0].epochs, "dense", 0).restore(rows_of(runs[1][0]))
    next(shared.folder.glob("*.json")).unlink()
    with shared.training(*runs[1], "dense", 0):  # it was killed, and goes on
        pass
    assert not list(shared.folder.glob("*.json"))


@pytest.mark.parametrize(
    "damage",
    ["checkpoint", "gone", "unfinished", "other run", "elsewhere", "[", '["x"]', '{"run": 5, "key": "a"}', "{}"],
)
def test_what_cannot_be_copied_is_trained_again(tmp_path, run_in, damage):
    shared, first, second = SharedTrainings(tmp_path / "sweep" / ".shared"), run_in("a"), run_in("b")
    with shared.training(*first, "dense", 0):
        train(first[0])
    (note,), file = shared.folder.glob("*.json"), first[0].path / "checkpoint.0.pt"
    if damage == "checkpoint":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif damage == "gone":
        file.unlink()
    elif damage == "unfinished":
        train(first[0], finished=False)
    elif damage == "other run":
        note.write_text(json.dumps({**json.loads(note.read_text()), "key": "f" * 64}))
    elif damage == "elsewhere":
        first[0].path.rename(tmp_path / "a")
        note.write_text(json.dumps({**json.loads(note.read_text()), "run": "../../a"}))
        file = tmp_path / "a" / file.name
    else:
        note.write_text(damage)
    before = file.read_bytes() if file.exists() else None
    with shared.training(*second, "dense", 0):
        assert rows_of(second[0]) is None
        train(second[0])
    assert (file.read_bytes() if file.exists() else None) == before  # another run's files are left as they are
    third = run_in("c")
    with shared.training(*third, "dense", 0):
        assert rows_of(third[0]) == [{"epoch": 1, "loss": 0.5, "trained_in": "../b"}]


def test_a_folder_that_takes_no_files_shares_nothing(tmp_path, run_in):
    first, folder = run_in("a"), tmp_path / "sweep" / ".shared"
    folder.write_text("")
    with SharedTrainings(folder).training(*first, "dense", 0):
        train(first[0])
    assert rows_of(first[0]) == [{"epoch": 1, "loss": 0.5}]
