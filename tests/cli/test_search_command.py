"""effdl search, with real runs of a small network."""

import json
import sys
import time
from subprocess import PIPE, STDOUT, Popen

import pytest

from effdl.cli.search_arguments import search_arguments
from effdl.runs.folder import RunFolder

SMALL = ("model=mlp", "model.hidden=[64]", "epochs=4", "dataset.subset=300", "dataset.val=0.5", "device=cpu")
HURRIED = """
import sys
from effdl.measure import timing
timing.repeat = lambda run, at_least, at_most, budget_s: [run() for _ in range(at_least)]
from effdl.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def search(effdl, tmp_path):
    """Run a search of the small network in a folder of its own."""
    return lambda *words: effdl("search", *SMALL, *words, f"hydra.run.dir={tmp_path / 'found'}")


def test_the_smallest_file_that_answers_well_enough(search, effdl, tmp_path, monkeypatch):
    goal = ("budget.top1=dense-0.05", "minimize=size_bytes", "limit.trials=3", "compression.lsq.lr_scale=0.2")
    code, out, error = search(*goal, "storage=sqlite:///study.db")
    assert code == 0, error + out
    found = json.loads((tmp_path / "found" / "search.json").read_bytes())
    assert len(found["trials"]) == 3
    best = next(trial for trial in found["trials"] if trial["name"] == found["best"])
    dense = RunFolder(tmp_path / "found" / "dense").result["stages"][-1]
    folder = RunFolder(tmp_path / "found" / best["name"])
    row = folder.result["stages"][-1]
    assert row["val_top1"] == best["measured"]["val_top1"] >= dense["val_top1"] - 0.05
    assert folder.model_file.stat().st_size == best["measured"]["size_bytes"] < dense["size_bytes"] / 4
    assert best["measured"]["size_bytes"] == min(t["measured"]["size_bytes"] for t in found["trials"] if t["holds"])
    assert "top1" not in best["measured"]  # the test split is for reading
    assert "3 compared on the validation split" in out
    assert (tmp_path / "found" / "front.png").stat().st_size > 1000

    # The same again, from elsewhere: what is there is read, nothing is trained.
    monkeypatch.chdir(tmp_path / "found")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "found").rglob("model.safetensors")}
    again, out_again, _ = effdl("search", f"resume={tmp_path / 'found'}")
    assert again == 0
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "found").rglob("model.safetensors")}
    assert json.loads((tmp_path / "found" / "search.json").read_bytes())["trials"] == found["trials"]
    assert out_again.splitlines()[1:] == out.splitlines()[1:]


def test_a_front(search, tmp_path):
    code, out, error = search("minimize=macs", "maximize=top1", "limit.trials=3")
    assert code == 0, error + out
    found = json.loads((tmp_path / "found" / "search.json").read_bytes())
    assert (found["objective"], found["against"], found["best"]) == ("macs", "top1", None)
    shown = [trial["measured"] for name in found["front"] for trial in found["trials"] if trial["name"] == name]
    assert [row["macs"] for row in shown] == sorted(row["macs"] for row in shown)
    assert [row["val_top1"] for row in shown] == sorted(row["val_top1"] for row in shown)
    for trial in found["trials"]:
        assert trial["predicted"]["macs"] == trial["measured"]["macs"]  # known before any training
        assert trial["predicted"]["params"] == trial["measured"]["params"]
    assert "front of 3 models, by the validation split" in out
    assert (tmp_path / "found" / "front.png").stat().st_size > 1000


def test_two_processes_try_nothing_twice(tmp_path):
    database = f"storage=sqlite:///{tmp_path / 'study.db'}"
    goal = ("budget.top1=dense-0.05", "minimize=size_bytes", "limit.trials=6", f"hydra.run.dir={tmp_path / 'found'}")
    command = (sys.executable, "-c", HURRIED, "search")

    def start(*words):
        return Popen([*command, *words], cwd=tmp_path, stdout=PIPE, stderr=STDOUT, text=True)

    one = start(*SMALL, *goal, database)
    while not (tmp_path / "found" / "search.json").exists():
        assert one.poll() is None, one.communicate()
        time.sleep(0.02)
    other = start(f"resume={tmp_path / 'found'}", database)
    outs = [process.communicate(timeout=300)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), outs

    runs = [RunFolder(folder) for folder in sorted((tmp_path / "found").glob("trial-*"))]
    assert len(runs) == 6
    assert all(len(run.run["starts"]) == 1 for run in [*runs, RunFolder(tmp_path / "found" / "dense")])
    found = json.loads((tmp_path / "found" / "search.json").read_bytes())
    plans = [json.dumps([trial["filters"], trial["layers"]]) for trial in found["trials"]]
    assert len(set(plans)) == len(plans) == 6
    assert all(f"best of 6 models, {found['best']}" in out for out in outs)
    assert found["ended"]


def test_a_database_that_is_none(effdl, tmp_path):
    for storage, message in (("nowhere", "could not parse"), ("sqlite:////nowhere/study.db", "unable to open")):
        code, _, error = effdl("search", "budget.top1=0.5", "minimize=macs", f"storage={storage}")
        assert code == 2
        assert f"storage={storage}: " in error
        assert message in error.lower()
        assert len(error.strip().splitlines()) == 1
    assert not any(tmp_path.rglob("search.json"))


def test_a_given_run_and_a_size_that_cannot_be(effdl, tmp_path):
    assert effdl("train", *SMALL, f"hydra.run.dir={tmp_path / 'dense'}")[0] == 0
    words = ("budget.size_bytes=300", "budget.top1=0.15", "maximize=top1", "limit.trials=3")
    code, out, error = effdl("search", str(tmp_path / "dense"), *words, f"hydra.run.dir={tmp_path / 'found'}")
    assert code == 1, error
    assert "nearest of 3 models" in out  # the harshest plan of each is tried once, and counted once
    assert "no model keeps to all bounds; of the nearest, budget." in out
    assert "size on disk" in out
    assert "MISSED" in out
    assert len(list((tmp_path / "found").glob("trial-*/result.json"))) == 3
    assert not (tmp_path / "found" / "dense").exists()


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (["minimize=latency_ms"], ["device.runtime=onnx"]),
        (["budget.latency_ms=0.5*dense", "minimize=macs"], ["device.runtime=onnx"]),
        (["minimize=latency_ms", "device.runtime=eager"], ["device.runtime=eager"]),
        (["minimize=macs"], []),
    ],
)
def test_a_latency_is_that_of_onnx_runtime_unless_asked(words, added):
    assert search_arguments(["budget.top1=0.9", *words]).overrides == added


@pytest.mark.slow
def test_a_latency_is_that_of_a_runtime_in_which_integers_are_tried(search, tmp_path):
    code, out, error = search("budget.top1=dense-0.2", "minimize=latency_ms", "limit.trials=1")
    assert code == 0, error + out
    dense, trial = (RunFolder(tmp_path / "found" / name) for name in ("dense", "trial-01"))
    assert dense.run["config"]["device"]["runtime"] == "onnx"
    assert dense.result["stages"][0]["latency_runtime"].endswith(" fp32")
    last = trial.result["stages"][-1]
    assert last["dense_latency_runtime"] == dense.result["stages"][0]["latency_runtime"]
    [found] = json.loads((tmp_path / "found" / "search.json").read_bytes())["trials"]
    assert found["measured"]["latency_part"] == pytest.approx(1 / last["speedup"])
    assert found["predicted"]["latency_part"] > 0
    # Which numbers are faster is a matter of the processor; both were timed before anything was trained.
    assert found["int8"] == (last["method"] == "int8") == (" int8" in last["latency_runtime"])
    assert ("int8: top-1" in out) == found["int8"]
    rows = [json.loads(line) for line in (tmp_path / "found" / "dry_runs.jsonl").read_text().splitlines()]
    assert {row["int8"] for row in rows if row["latency_part"]} == {False, True}


def test_the_score_of_the_course(search, tmp_path):
    code, out, error = search("budget.top1=dense-0.2", "minimize=course_score", "limit.trials=2")
    assert code == 0, error + out
    found = json.loads((tmp_path / "found" / "search.json").read_bytes())
    best = next(trial for trial in found["trials"] if trial["name"] == found["best"])
    first, *_, last = RunFolder(tmp_path / "found" / found["best"]).result["stages"]
    bits = best["activations"]
    assert {choice["bits"] for choice in best["layers"].values()} == {bits} == {last["activation_bits"]}
    left = last["params"] - last["params_pruned"]
    by_hand = bits / 32 * (left / 5.6e6 + last["macs"] / 2.8e8)
    assert best["measured"]["course_score"] == pytest.approx(
        by_hand, rel=2e-2
    )  # step sizes are no weights of the dense
    assert best["measured"]["course_score"] < first["params"] / 5.6e6 / 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budget.top1=0.9", "minimize=macs", "prune=0.5"], "prune=0.5: how much to compress"),
        (["budget.top1=0.9", "minimize=macs", "compression.kmeans.epochs=9"], "does not use this method"),
        (["budget.top1=0.9", "minimize=macs", "seed=0,1"], "seed=0,1: a search is of one config"),
        (["budget.top1=0.9", "minimize=macs", "optimizer.lrr=1"], "did you mean 'optimizer.lr'"),
        (["budget.top1=0.9"], "no minimize="),
        (["nowhere", "budget.top1=0.9", "minimize=macs"], "nowhere: no finished run is there"),
        (["dataset=mnist", "dataset.root=nowhere", "budget.top1=0.9", "minimize=macs"], "nowhere"),
        (["resume=nowhere"], "no such file"),
        (
            ["compression.filters.criterion=l3", "budget.top1=0.9", "minimize=macs"],
            "allowed is one of l1, l2, bn, taylor",
        ),
        (["compression.lsq.first_lost=8", "budget.top1=0.9", "minimize=macs"], "did you mean"),
        (["dataset.val=0", "epochs=1", "budget.top1=0.9", "minimize=macs"], "chooses on a validation split"),
    ],
)
def test_mistakes(effdl, tmp_path, words, message):
    code, _, error = effdl("search", *words)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not any(tmp_path.glob("outputs"))


@pytest.mark.parametrize("library", ["scipy.optimize", "sqlalchemy"])
def test_a_missing_library_is_told_before_any_training(effdl, tmp_path, monkeypatch, forget, library):
    forget("effdl.search")
    monkeypatch.setitem(sys.modules, library, None)
    code, _, error = effdl("search", "model=mlp", "budget.top1=0.5", "minimize=size_bytes")
    assert (code, "pip install 'effdl[search]'" in error) == (2, True)
    assert not any(tmp_path.rglob("search.json"))
    assert not list(tmp_path.glob("outputs/*/*"))
