"""The folder of a sweep: which sweep it is, which configs it runs with, and how its jobs stand."""

from pathlib import Path

import pytest

from effdl.config.naming import folder_name
from effdl.sweep.folder import JobLog, Sweep, find, freeze, identity, jobs_of
from effdl.utils.errors import UserError

CONFIG = {
    "model": {"_target_": "effdl.models.mlp.mlp"},
    "prune": 0.5,
    "factorize": None,
    "quantize": "int8",
    "distill": None,
    "seed": 3,
    "resume": False,
}


def test_where_a_sweep_is_and_whether_it_is_resumed_does_not_make_it_another():
    mine = identity(["model=mlp", "prune=0.3,0.5"], None)
    assert identity(["model=mlp", "prune=0.3,0.5", "resume=true", "hydra.sweep.dir=x"], None) == mine
    assert identity(["model=mlp", "prune=0.3,0.6"], None) != mine
    assert identity(["model=mlp", "prune=0.3,0.5"], "own") != mine


def test_a_run_is_named_after_its_config():
    name = folder_name(CONFIG)
    assert name.startswith("mlp-prune0.5-quantizeint8-seed3-")
    assert folder_name({**CONFIG, "resume": True}) == name
    assert folder_name({**CONFIG, "prune": 0.6}) != name
    assert folder_name({**CONFIG, "distill": "runs/big teacher"}).split("-")[3] == "distillruns_big_teacher"
    assert "/" not in folder_name({**CONFIG, "model": {"_target_": "x.y", "name": "hf-hub:a/b"}})


def test_frozen_configs_are_copies_named_after_their_content(tmp_path):
    source = tmp_path / "configs"
    (source / "model").mkdir(parents=True)
    (source / "model/mlp.yaml").write_text("a: 1\n")
    (copy,) = freeze([source], tmp_path / "frozen")
    (source / "model/mlp.yaml").write_text("a: 2\n")
    assert (copy / "model/mlp.yaml").read_text() == "a: 1\n"
    (other,) = freeze([source], tmp_path / "frozen")
    assert other != copy
    assert freeze([source], tmp_path / "frozen") == [other]
    assert len(list((tmp_path / "frozen").iterdir())) == 2  # nothing temporary is left


def test_a_resumed_launch_runs_from_the_copies_of_the_first(tmp_path):
    source = tmp_path / "configs"
    source.mkdir()
    (source / "train.yaml").write_text("a: 1\n")
    sweep = Sweep(tmp_path / "sweep", "abc")
    assert sweep.frozen() == []
    jobs, copies = sweep.launch(["a=1,2"], [source])
    assert jobs.parent == tmp_path / "sweep/.jobs"
    assert sweep.launch(["a=1,2"], sweep.frozen())[1] == copies == sweep.frozen()
    assert len(sweep.record["starts"]) == 2
    assert find(tmp_path, "abc") == tmp_path / "sweep"
    assert find(tmp_path, "abd") is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir=.*file"):
        Sweep(tmp_path / "file", "abc").launch([], [])


def test_the_newest_row_of_a_job_counts(tmp_path):
    file = tmp_path / "jobs.jsonl"
    first, second = (JobLog(file, number, [f"a={number}"], Path(f"run{number}")) for number in (0, 1))
    first.start()
    second.start()
    second.end({"status": "failed", "reason": "no", "row": None})
    jobs = jobs_of(file)
    assert [(job["job"], job["event"], job.get("status")) for job in jobs] == [(0, "start", None), (1, "end", "failed")]
    assert jobs_of(tmp_path / "none") == []
