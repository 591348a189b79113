"""Those who look on while a run goes on."""

import json
import logging

import pytest
from rich.console import Console

from effdl.commands.compose import composed, settings
from effdl.errors import Hopeless
from effdl.files import read_rows
from effdl.measure.energy import EnergyMeter
from effdl.prepare import prepare
from effdl.results import RunFolder
from effdl.run import carry_out
from effdl.watchers import Watchers, loggers_of


class Witness:
    """Notes down what it is told; may give the run up, or break, after some epochs."""

    def __init__(self, hopeless_after=None, broken_after=None):
        self.epochs, self.stages, self.closed = [], [], []
        self.hopeless_after, self.broken_after = hopeless_after, broken_after

    def epoch(self, row):
        self.epochs.append(row)
        if len(self.epochs) == self.hopeless_after:
            raise Hopeless("it leads nowhere")
        if len(self.epochs) == self.broken_after:
            raise OSError("the server is down")

    def stage(self, row):
        self.stages.append(row)

    def close(self, status):
        self.closed.append(status)


@pytest.fixture
def run(tmp_path):
    """Carry out a short run in one and the same folder; returns the exit code and what ``run.json`` says."""

    def run(*watchers, resume=False):
        overrides = ["model=mlp", "epochs=2", "prune=0.5", "device.threads=1", "energy.enabled=false"]
        prepared = prepare(settings(composed([*overrides, f"resume={resume}"], None)))
        folder = RunFolder(tmp_path)
        code = carry_out(prepared, folder, EnergyMeter(**prepared.config["energy"]), Console(quiet=True), watchers)
        return code, folder.run

    return run


def test_a_watcher_is_told_of_every_row(run, tmp_path):
    witness = Witness()
    code, ended = run(witness)
    assert (code, ended["status"]) == (0, "done")
    assert witness.epochs == read_rows(tmp_path / "epochs.jsonl")
    assert [(row["stage"], row["fit"], row["epoch"]) for row in witness.epochs] == [
        ("dense", 0, 1),
        ("dense", 0, 2),
        ("prune", 1, 1),
    ]
    assert witness.stages == json.loads((tmp_path / "result.json").read_text())["stages"]
    assert witness.closed == ["done"]


def test_a_hopeless_run_is_stopped_and_can_be_continued(run, tmp_path):
    judge, witness = Witness(hopeless_after=2), Witness()
    code, ended = run(judge, witness)
    assert (code, ended["status"], ended["reason"]) == (0, "stopped", "it leads nowhere")
    assert len(witness.epochs) == 2  # told all the same
    assert judge.closed == witness.closed == ["stopped"]
    assert not (tmp_path / "result.json").exists()
    later = Witness()
    code, ended = run(later, resume=True)
    assert (code, ended["status"]) == (0, "done")
    assert later.epochs == read_rows(tmp_path / "epochs.jsonl")  # those of the first process too, each once
    assert later.stages == read_rows(tmp_path / "stages.jsonl")


def test_a_stage_measured_before_is_told_again(run, tmp_path):
    run(Witness(hopeless_after=3))
    assert [row["stage"] for row in read_rows(tmp_path / "stages.jsonl")] == ["dense"]
    later = Witness()
    run(later, resume=True)
    assert [row["stage"] for row in later.stages] == ["dense", "prune"]


def test_a_watcher_that_breaks_is_dropped_and_the_run_goes_on(run, tmp_path):
    broken, witness = Witness(broken_after=1), Witness()
    code, ended = run(broken, witness)
    assert (code, ended["status"]) == (0, "done")
    assert (len(broken.epochs), broken.stages, broken.closed) == (1, [], [])
    assert len(witness.epochs) == 3
    text = (tmp_path / "train.log").read_text()
    assert text.count("WARNING effdl.watchers: Witness failed and is no longer told of this run") == 1
    assert "Traceback" in text


def test_a_logger_that_cannot_start_is_left_out(tmp_path, caplog):
    node = {"_target_": "builtins.open"}  # refuses the run's folder
    with caplog.at_level(logging.WARNING):
        assert loggers_of({"logger": {"strange": node}}, tmp_path) == []
    assert "logger=strange cannot start" in caplog.text


def test_nobody_looks_on_by_default():
    assert loggers_of(settings(composed([], None)), None) == []
    Watchers().epoch({})  # and that is no error
