"""Callbacks: what is told how a run goes."""

import json
import logging

import pytest

from effdl.config.compose import composed, settings
from effdl.measure.energy import EnergyMeter
from effdl.runs.execute import execute
from effdl.runs.folder import Outcome, RunFolder
from effdl.runs.prepare import prepare_run
from effdl.training.callbacks import Callbacks
from effdl.training.loggers import loggers_of
from effdl.utils.errors import TrialPruned
from effdl.utils.rows import Rows


class Witness:
    """Notes down what it is told; may give the run up, or break, after some epochs."""

    def __init__(self, pruned_after=None, broken_after=None):
        self.epochs, self.stages, self.closed = [], [], []
        self.pruned_after, self.broken_after = pruned_after, broken_after

    def epoch_end(self, row):
        self.epochs.append(row)
        if len(self.epochs) == self.pruned_after:
            raise TrialPruned("it leads nowhere")
        if len(self.epochs) == self.broken_after:
            raise OSError("the server is down")

    def stage_end(self, row):
        self.stages.append(row)

    def run_end(self, status):
        self.closed.append(status)


@pytest.fixture
def run(tmp_path):
    """Carry out a short run in one and the same folder; returns the outcome and what ``run.json`` says."""

    def run(*callbacks, resume=False):
        overrides = ["model=mlp", "epochs=2", "prune=0.5", "device.threads=1", "energy.enabled=false"]
        prepared = prepare_run(settings(composed([*overrides, f"resume={resume}"], None)))
        folder = RunFolder(tmp_path)
        outcome = execute(prepared, folder, EnergyMeter(**prepared.config["energy"]), callbacks)
        return outcome, folder.run

    return run


def test_a_callback_is_told_of_every_row(run, tmp_path):
    witness = Witness()
    outcome, ended = run(witness)
    assert (outcome, ended["status"]) == (Outcome("done"), "done")
    assert witness.epochs == Rows(tmp_path / "epochs.jsonl").read()
    assert [(row["stage"], row["fit"], row["epoch"]) for row in witness.epochs] == [
        ("dense", 0, 1),
        ("dense", 0, 2),
        ("prune", 1, 1),
    ]
    assert witness.stages == json.loads((tmp_path / "result.json").read_text())["stages"]
    assert witness.closed == ["done"]


def test_a_pruned_trial_is_stopped_and_can_be_continued(run, tmp_path):
    judge, witness = Witness(pruned_after=2), Witness()
    outcome, ended = run(judge, witness)
    assert (outcome, ended["reason"]) == (Outcome("stopped", "it leads nowhere"), "it leads nowhere")
    assert len(witness.epochs) == 2  # told all the same
    assert judge.closed == witness.closed == ["stopped"]
    assert not (tmp_path / "result.json").exists()
    later = Witness()
    outcome, ended = run(later, resume=True)
    assert (outcome, ended["status"]) == (Outcome("done"), "done")
    assert later.epochs == Rows(tmp_path / "epochs.jsonl").read()  # those of the first process too, each once
    assert later.stages == Rows(tmp_path / "stages.jsonl").read()


def test_a_stage_measured_before_is_told_again(run, tmp_path):
    run(Witness(pruned_after=3))
    assert [row["stage"] for row in Rows(tmp_path / "stages.jsonl").read()] == ["dense"]
    later = Witness()
    run(later, resume=True)
    assert [row["stage"] for row in later.stages] == ["dense", "prune"]


def test_a_callback_that_breaks_is_dropped_and_the_run_goes_on(run, tmp_path):
    broken, witness = Witness(broken_after=1), Witness()
    outcome, ended = run(broken, witness)
    assert (outcome, ended["status"]) == (Outcome("done"), "done")
    assert (len(broken.epochs), broken.stages, broken.closed) == (1, [], [])
    assert len(witness.epochs) == 3
    text = (tmp_path / "train.log").read_text()
    assert text.count("WARNING effdl.training.callbacks: Witness failed and is no longer told of this run") == 1
    assert "Traceback" in text


def test_a_logger_that_cannot_start_is_left_out(tmp_path, caplog):
    node = {"_target_": "builtins.open"}  # refuses the run's folder
    with caplog.at_level(logging.WARNING):
        assert loggers_of({"logger": {"strange": node}}, tmp_path) == []
    assert "logger=strange cannot start" in caplog.text


def test_there_are_no_loggers_by_default():
    assert loggers_of(settings(composed([], None)), None) == []
    Callbacks().epoch_end({})  # and that is no error


def test_a_callback_has_the_methods_it_needs_and_no_others(caplog):
    class Counter:
        count = 0

        def stage_begin(self, stage):
            self.count += 1

    counter = Counter()
    callbacks = Callbacks([counter])
    callbacks.stage_begin("dense")
    callbacks.epoch_end({})
    callbacks.run_end("done")
    assert counter.count == 1
    assert not caplog.records


def test_what_is_no_callback_is_refused():
    with pytest.raises(TypeError, match="is no callback: it has none of run_begin, stage_begin, training_begin"):
        Callbacks([object()])
