"""What is known of a plan without training, against runs that train."""

import sys

import pytest

from effdl.cli.train import train
from effdl.config.overrides import quote
from effdl.runs.folder import RunFolder
from effdl.search.dry_runs import DryRuns
from effdl.search.plan import Plan
from effdl.utils.errors import RunError, UserError

NET = ("model=resnet", "model.depth=8", "dataset.subset=100", "epochs=1", "device=cpu", "device.threads=1")


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """The folder of a trained model."""
    folder = tmp_path_factory.mktemp("search")
    return train([*NET, f"hydra.run.dir={quote(folder / 'dense')}"], quiet=True)


@pytest.fixture
def overrides_of(dense, tmp_path):
    """The overrides of a run that makes a plan."""
    return lambda plan: [*NET, "epochs=0", f"model.weights={quote(dense)}", *plan.overrides(tmp_path, {}, 1)]


@pytest.fixture
def dry_runs(dense, overrides_of, tmp_path):
    """Without latencies."""
    return DryRuns(dense, overrides_of, None, False, tmp_path / "dry_runs.jsonl")


@pytest.mark.parametrize("plan", [Plan(), Plan(0.6), pytest.param(Plan(0.6, int8=True), marks=pytest.mark.slow)])
def test_shapes_are_those_of_the_run(dry_runs, overrides_of, tmp_path, plan):
    row = RunFolder(train([*overrides_of(plan), f"hydra.run.dir={tmp_path / 'run'}"], quiet=True)).result["stages"][-1]
    assert dry_runs.row(plan) == {key: row[key] for key in ("params", "macs", "peak_activation_bytes")}


def test_nothing_is_done_twice(dry_runs, monkeypatch):
    found = [dry_runs.row(Plan(0.5)), dry_runs.row(Plan(0.75))]
    monkeypatch.setattr(DryRuns, "_made", None)
    assert [dry_runs.row(Plan(0.5)), dry_runs.row(Plan(0.75))] == found
    assert len(dry_runs.file.read_text().splitlines()) == 2


def test_what_cannot_be_removed(dry_runs):
    assert dry_runs.row(Plan(0.999)) == {}  # of each layer 8 filters are left


def test_latencies_of_equal_shapes_are_measured_once(dense, overrides_of, tmp_path, monkeypatch):
    times = iter([{"latency_ms": 2.0, "speedup": 1.6}])
    monkeypatch.setattr("effdl.search.dry_runs.as_deployed", lambda *_, **__: next(times))
    dry_runs = DryRuns(dense, overrides_of, None, True, tmp_path / "timed.jsonl")
    rows = [dry_runs.row(Plan(filters)) for filters in (0.5, 0.501)]
    assert rows[0] == rows[1]
    assert (rows[0]["latency_ms"], rows[0]["latency_part"]) == (2.0, 0.625)


def test_a_model_that_cannot_be_timed(dense, overrides_of, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RunError("could not be timed")

    monkeypatch.setattr("effdl.search.dry_runs.as_deployed", fail)
    row = DryRuns(dense, overrides_of, None, True, tmp_path / "timed.jsonl").row(Plan(0.5))
    assert set(row) == {"params", "macs", "peak_activation_bytes"}


def test_a_mistake_is_no_model_that_cannot_be_made(dense, overrides_of, tmp_path, monkeypatch):
    wrong = DryRuns(
        dense, lambda plan: [*overrides_of(plan), "compression.filters.criterion=l3"], None, False, tmp_path / "a.jsonl"
    )
    with pytest.raises(UserError, match="criterion"):
        wrong.row(Plan(0.5))
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(UserError, match="torch-pruning"):
        DryRuns(dense, overrides_of, None, False, tmp_path / "b.jsonl").row(Plan(0.5))
    assert not list(tmp_path.glob("*.jsonl"))
