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
    return beginning({"config": config, "data_fingerprint": "a", "starts": [MACHINE], **run}, config)


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


def test_so_are_images_machines_and_given_weights():
    other = {**MACHINE, "hardware": {**MACHINE["hardware"], "cpu": "b"}}
    models = [{"models": {"run": {"sha256": digest}}} for digest in ("1", "2")]
    found = [
        begins(),
        begins(data_fingerprint="b"),
        begins(starts=[MACHINE, other]),
        *(begins(**one) for one in models),
    ]
    assert len(set(found)) == 5
    assert begins(starts=[other, MACHINE]) == begins()  # the machine where it goes on decides


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
        with shared.training(*second, 0):
            done.set()

    with shared.training(*first, 0):
        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.3)
        train(first[0])
    assert done.wait(5)
    thread.join()
    assert rows_of(second[0]) == [{"trained_in": "../a", "epoch": 1, "loss": 0.5}]
    with shared.training(*run_in("c", "seed=1"), 0):  # another training
        pass
    assert rows_of(RunFolder(tmp_path / "sweep" / "c")) is None


def test_one_that_fails_leaves_it_to_the_next(tmp_path, run_in):
    shared, folders = SharedTrainings(tmp_path / "sweep" / ".shared"), [run_in("a"), run_in("b"), run_in("c")]
    with pytest.raises(KeyboardInterrupt), shared.training(*folders[0], 0):
        raise KeyboardInterrupt
    with shared.training(*folders[1], 0):
        assert rows_of(folders[1][0]) is None
        train(folders[1][0])
    with shared.training(*folders[2], 0):
        assert rows_of(folders[2][0]) == [{"trained_in": "../b", "epoch": 1, "loss": 0.5}]


def test_a_run_that_has_begun_goes_on_by_itself(tmp_path, run_in):
    shared, first, second = SharedTrainings(tmp_path / "sweep" / ".shared"), run_in("a"), run_in("b")
    with shared.training(*first, 0):
        train(first[0])
    train(second[0], finished=False, rows=[])
    with shared.training(*second, 0):
        assert rows_of(second[0]) == []


@pytest.mark.parametrize("damage", ["checkpoint", "gone", "unfinished", "other run", "note"])
def test_what_cannot_be_copied_is_trained_again(tmp_path, run_in, damage):
    shared, first, second = SharedTrainings(tmp_path / "sweep" / ".shared"), run_in("a"), run_in("b")
    with shared.training(*first, 0):
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
    else:
        note.write_text("[")
    with shared.training(*second, 0):
        assert rows_of(second[0]) is None
