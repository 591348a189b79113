"""Run folders as rows: what is found, what is damaged, what runs are called."""

import json
import os
import socket

import pytest

from effdl.report.gather import gather, rows
from effdl.utils.processes import process_start

CONFIG = {
    "model": {"option": "mlp", "hidden": [64]},
    "dataset": {"option": "digits", "pad": 1, "root": None},
    "compression": {"magnitude": {"option": "magnitude", "level": None}},
    "augment": {},
    "prune": None,
    "epochs": 2,
    "seed": 0,
    "resume": False,
}


def stage(name, method, top1, **values):
    """A measured stage's row."""
    row = {"stage": name, "method": method, "top1": top1, "params": 100, "params_nonzero": 100, "macs": 90}
    cost = {"duration_s": 4.0, "energy_kwh": 0.2, "co2eq_g": 1.0, "evaluate_energy_kwh": 8.0}
    return {**row, "weight_bits": 32.0, "activation_bits": 32.0, "epochs": 2, **cost, **values}


def make(folder, stages=None, status="done", total=None, run=None, **config):
    """A run folder as `effdl train` leaves it."""
    folder.mkdir(parents=True)
    written = {"status": status, "reason": None, "config": {**CONFIG, **config}, "host": "elsewhere", "pid": 1}
    (folder / "run.json").write_text(json.dumps({**written, **(run or {})}))
    stages = [stage("dense", "train", 0.9)] if stages is None else stages
    (folder / "stages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in stages))
    if status == "done":
        (folder / "result.json").write_text(json.dumps({"stages": stages, "total": {"epochs": 2, **(total or {})}}))
    return folder


def pruned(level):
    """Config keys of a run that prunes."""
    step = {"option": "magnitude", "level": level}
    return {"prune": level, "compression": {"magnitude": step}}


def test_runs_at_any_depth_are_found_once(tmp_path):
    for name in ("a", "b/c/d", "b/e"):
        make(tmp_path / name)
    make(tmp_path / ".hidden" / "x")
    found = gather([tmp_path, tmp_path / "b", tmp_path / "b" / ".." / "a"])
    assert [run.path.relative_to(tmp_path).as_posix() for run in found.runs] == ["a", "b/c/d", "b/e"]
    assert found.damaged == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        gather([tmp_path / "nothing"])


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("run.json", "", "run.json is empty"),
        ("run.json", '{"status": "do', "run.json is damaged"),
        ("run.json", "[1]", "run.json is damaged: it is not an object"),
        ("run.json", "[" * 100_000, "run.json is damaged"),
        ("run.json", '{"other": "program"}', "run.json is damaged: status: Field required"),
        ("run.json", '{"status": "done", "config": {"compression": [1]}}', "must be objects"),
        ("run.json", b"\xff\xfe\x00", "run.json is damaged"),
        ("result.json", '{"stages": [', "result.json is damaged"),
        ("result.json", '{"stages": [], "total": {}}', "result.json is damaged: stages=[]: "),
        ("result.json", '{"stages": [{"stage": "dense"}], "total": {}}', "result.json is damaged: stages[0].method: "),
        (
            "result.json",
            '{"stages": [{"stage": "d", "method": "m", "top1": "x"}], "total": {}}',
            "result.json is damaged: stages[0].top1",
        ),
        (
            "result.json",
            '{"stages": [{"stage": [], "method": "m"}], "total": {}}',
            "result.json is damaged: stages[0].stage=[]: ",
        ),
        (
            "result.json",
            '{"stages": [{"stage": "d", "method": "m"}], "total": {"energy_kwh": "much"}}',
            "total.energy_kwh",
        ),
        ("result.json", '{"stages": [{"stage": "d", "method": "m"}], "total": {"source": ["cpu"]}}', "total.source"),
        ("result.json", None, "result.json is missing"),
        ("layers.jsonl", "not json\n", "layers.jsonl is damaged: row 1: "),
        ("layers.jsonl", "[1]\n", "layers.jsonl is damaged: row 1 is not an object"),
        ("layers.jsonl", '{"stage": "dense", "name": "0", "shape": 3}\n', "layers.jsonl is damaged: row 1: shape=3: "),
        ("epochs.jsonl", '{"stage": [1]}\n', "epochs.jsonl is damaged: row 1: stage=[1]: "),
    ],
)
def test_damaged_folders_are_named_and_skipped(tmp_path, file, content, reason):
    make(tmp_path / "good")
    path = make(tmp_path / "bad") / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = gather([tmp_path])
    assert [run.path.name for run in found.runs] == ["good"]
    [(folder, said)] = found.damaged
    assert folder == tmp_path / "bad"
    assert reason in said


def test_rows_of_a_chain(tmp_path):
    chain = [stage("dense", "train", 0.9), stage("prune", "magnitude", 0.875, params_nonzero=50, energy_kwh=0.1)]
    make(tmp_path / "run", [stage("teacher", "train", 0.99), *chain], **pruned(0.5))
    teacher, dense, last = rows(gather([tmp_path]).runs)
    assert [row["stage"] for row in (teacher, dense, last)] == ["teacher", "dense", "prune"]
    assert [row["dense"] for row in (teacher, dense, last)] == [False, True, False]
    assert [row["top1_change"] for row in (teacher, dense, last)] == [None, None, 0.875 - 0.9]
    assert (last["method"], last["seed"], last["status"], last["run"]) == ("magnitude", 0, "done", 1)
    assert [row["compared_with"] for row in (teacher, dense, last)] == ["teacher", "dense", "dense"]
    assert (last["energy_kwh"], last["total_energy_kwh"], last["total_co2eq_g"]) == (0.1, 0.5, 3.0)
    assert (last["total_evaluate_energy_kwh"], last["total_cpu_kwh"]) == (24.0, None)  # the latter is a newer key
    assert last["folder"] == str(tmp_path / "run")
    assert last["config"] == {}  # nothing differs from itself


def test_an_unfinished_run_has_what_it_measured(tmp_path):
    make(tmp_path / "a", [stage("dense", "train", 0.9)], "failed")
    make(tmp_path / "b", [], "interrupted", seed=1)
    (tmp_path / "a" / "stages.jsonl").open("a").write('{"stage": "pru')  # a kill cut it short
    first, second = rows(gather([tmp_path]).runs)
    assert (first["stage"], first["status"], first["total_energy_kwh"]) == ("dense", "failed", None)
    assert (second["stage"], second["method"], second["top1_change"]) == (None, None, None)
    assert second["compared_with"] is None


def test_a_run_whose_process_is_gone_was_killed(tmp_path):
    me = {"host": socket.gethostname(), "pid": os.getppid(), "process_started": process_start(os.getppid())}
    make(tmp_path / "alive", [], "running", run=me)
    make(tmp_path / "dead", [], "running", run={**me, "process_started": "1"})
    assert [run.status for run in gather([tmp_path]).runs] == ["running", "killed"]


def test_names_say_what_differs(tmp_path):
    lenet = {"option": "lenet5"}
    make(tmp_path / "a", **pruned(0.3))
    make(tmp_path / "b", **pruned(0.9))
    make(tmp_path / "c", **pruned(0.9), seed=1)
    make(tmp_path / "d", **pruned(0.9), seed=1, model=lenet)
    make(tmp_path / "e")
    found = rows(gather([tmp_path]).runs)
    assert [row["name"] for row in found] == [
        "model=mlp prune=0.3",
        "model=mlp prune=0.9 seed=0",
        "model=mlp prune=0.9 seed=1",
        "model=lenet5 prune=0.9",
        "model=mlp",
    ]
    assert found[0]["config"] == {
        "model.option": "mlp",
        "compression.magnitude.level": 0.3,
        "prune": 0.3,
        "seed": 0,
    }


def test_runs_of_one_config_are_told_apart_by_their_folders(tmp_path):
    make(tmp_path / "a")
    assert [row["name"] for row in rows(gather([tmp_path]).runs)] == ["mlp on digits"]
    make(tmp_path / "b", resume=True)  # an incidental key
    expected = [f"mlp on digits ({tmp_path / name})" for name in ("a", "b")]
    assert [row["name"] for row in rows(gather([tmp_path]).runs)] == expected
