"""One run from the command line to its folder, killed, resumed, and measured again."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from effdl.cli.main import main
from effdl.models.stored import load_model, read_description
from effdl.runs.folder import RUNNING, RunFolder
from effdl.runs.verify import digests
from effdl.utils.rows import Rows

QUICK = ("model=mlp", "prune=0.5", "epochs=3", "hydra.run.dir=run")


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """The command in a process of its own, without the start of the energy meter."""
    command = [sys.executable, "-m", "effdl", "train", *QUICK, "energy.enabled=false", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Read the output until a line holds the text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the process ended without {text!r}")


def kill(process: subprocess.Popen) -> None:
    """End it with nothing to say in the matter."""
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    assert main(["train", *QUICK[:-1], f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """What `start` starts, at its end."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(["train", *QUICK[:-1], "energy.enabled=false", f"hydra.run.dir={folder}"]) == 0
    return folder


def test_the_folder_holds_what_it_should(reference):
    files = {path.name for path in reference.iterdir()}
    expected = {"run.json", "epochs.jsonl", "stages.jsonl", "result.json", "model.safetensors", "train.log", ".hydra"}
    assert expected | {".lock", "curves.png", "layers.jsonl", "checkpoint.0.pt", "checkpoint.1.pt"} == files
    run = json.loads((reference / "run.json").read_text())
    assert run["status"] == "done"
    assert run["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert (run["resumed"], run["seed"], run["config"]["prune"]) == (0, 0, 0.5)
    assert len(run["data_fingerprint"]) == len(run["config_fingerprint"]) == 64
    assert [row["epoch"] for row in Rows(reference / "epochs.jsonl").read()] == [1, 2, 3, 1, 2]
    assert Rows(reference / "stages.jsonl").read() == result(reference)["stages"]
    assert result(reference)["stages"][-1]["layers"] == 3


def test_numbers_agree_with_an_independent_count(reference):
    dense, pruned = result(reference)["stages"]
    assert (dense["stage"], pruned["stage"]) == ("dense", "prune")
    weights = 64 * 300 + 300 * 100 + 100 * 10
    biases = 300 + 100 + 10
    assert dense["params"] == pruned["params"] == weights + biases
    assert dense["macs"] == weights
    assert pruned["macs_nonzero"] == weights // 2
    assert pruned["weight_sparsity"] == 0.5
    assert pruned["size_bytes"] == (reference / "model.safetensors").stat().st_size
    assert pruned["size_fp32_bytes"] == 4 * (weights + biases)
    assert pruned["compression_ratio"] == pruned["size_fp32_bytes"] / pruned["size_bytes"]
    zeros = sum(int((p == 0).sum()) for p in load_model(reference).parameters())
    assert zeros == pruned["params"] - pruned["params_nonzero"] >= weights // 2
    assert pruned["bops"] == pruned["macs_nonzero"] * 32 * 32
    assert max(row["memory_peak_bytes"] for row in (dense, pruned)) < 100e6  # PyTorch alone takes five times as much
    assert pruned["latency_q1_ms"] <= pruned["latency_ms"] <= pruned["latency_q3_ms"]
    assert pruned["deployed_bytes"] == 4 * (weights + biases)


def test_a_compressed_model_is_timed_in_turns_with_the_dense_one_in_the_layout_of_the_training(reference):
    dense, pruned = result(reference)["stages"]
    assert dense["speedup"] is dense["dense_latency_ms"] is None
    assert "speed" not in dense
    assert pruned["speedup_low"] <= pruned["speedup"] <= pruned["speedup_high"]
    assert pruned["speedup_rounds"] >= 8
    assert pruned["dense_latency_runtime"] == pruned["latency_runtime"] == "pytorch-eager"
    assert {row["latency_layout"] for row in (dense, pruned)} == {"channels_last"}
    assert {row["latency_device"] for row in (dense, pruned)} == {"cpu"}
    assert "the dense model" in pruned["speed"]


def test_energy_adds_up(reference):
    stages, total = result(reference)["stages"], result(reference)["total"]
    rows = Rows(reference / "epochs.jsonl").read()
    assert stages[0]["energy_kwh"] > sum(row["energy_kwh"] for row in rows if row["stage"] == "dense")
    assert total["energy_kwh"] == pytest.approx(sum(stage["energy_kwh"] for stage in stages))
    assert total["evaluate_energy_kwh"] == pytest.approx(sum(stage["evaluate_energy_kwh"] for stage in stages))
    assert total["co2eq_g"] == pytest.approx(total["energy_kwh"] * total["energy"]["grid_g_per_kwh"])
    assert set(total["source"].values()) <= {"measured", "estimated", "constant", "unavailable"}


def test_the_stored_file_is_safetensors_of_bytes(reference):
    with safe_open(reference / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.uint8}  # noqa: SIM118
        assert json.loads(file.metadata()["effdl"])["format"] == "model-2"
    assert read_description(reference)["classes"] == 10


@pytest.mark.parametrize("moment", ["dense: epoch 1/3", "dense: epoch 3/3", "prune: epoch 2/2"])
def test_a_killed_run_resumes_to_the_identical_file(undisturbed, tmp_path, moment, effdl):
    process = start(tmp_path)
    wait_for(process, moment)
    kill(process)
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "running"
    code, output, _ = effdl("train", *QUICK, "energy.enabled=false", "resume=true")
    assert code == 0
    assert "folder: run" in output
    assert (tmp_path / "run/model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert [s["top1"] for s in result(tmp_path / "run")["stages"]] == [s["top1"] for s in result(undisturbed)["stages"]]
    assert len(Rows(tmp_path / "run/epochs.jsonl").read()) == 5


def test_a_killed_training_of_layers_with_norms_of_their_own_resumes_to_the_identical_file(tmp_path, effdl):
    signs = ("quantize=binary", "compression=[magnitude,xnor]", "compression.xnor.activations=true")
    code, *_ = effdl("train", *QUICK[:-1], *signs, "energy.enabled=false", "hydra.run.dir=undisturbed")
    assert code == 0
    process = start(tmp_path, *signs)
    wait_for(process, "quantize: epoch 1/2")
    kill(process)
    code, *_ = effdl("train", *QUICK, *signs, "energy.enabled=false", "resume=true")
    assert code == 0
    assert Path("run/model.safetensors").read_bytes() == Path("undisturbed/model.safetensors").read_bytes()
    last = result(tmp_path / "run")["stages"][-1]
    assert (last["weight_sparsity"], last["weight_bits"]) == (0.5, 1)
    assert last["bops"] < result(tmp_path / "undisturbed")["stages"][0]["bops"] / 60
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["resumed"] == result(tmp_path / "run")["total"]["resumed"] == 1
    assert len(run["starts"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(8))
def test_a_run_killed_at_a_random_moment_resumes_to_the_identical_file(undisturbed, tmp_path, attempt):
    process = start(tmp_path)
    time.sleep(random.Random(attempt).uniform(2.0, 7.0))
    kill(process)
    assert "folder: run" in start(tmp_path, "resume=true").communicate(timeout=120)[0]
    assert (tmp_path / "run/model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(reference, tmp_path):
    process = start(tmp_path, "epochs=2000")
    wait_for(process, "dense: epoch 2/")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "interrupted; to continue: effdl train resume=run" in output
    assert "Traceback" not in output
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"


def test_evaluate_says_the_same_from_the_folder_alone(reference, effdl):
    shutil.copytree(reference, "moved")
    code, output, _ = effdl("evaluate", "moved", "--layers")
    assert code == 0
    assert f"top1 = {result(reference)['stages'][-1]['top1']!r}" in output
    assert "the same as recorded, to the last digit" in output
    assert "300x64" in output


def test_evaluate_notices_a_wrong_record(reference, effdl):
    """A record that was falsified with everything that guards it, as a forger could."""
    folder = RunFolder(shutil.copytree(reference, "copy"))
    rows = folder.stages.read()
    rows[-1]["top1"] += 0.01
    folder.stages.write(rows)
    folder.finish({**folder.result, "stages": rows, "files": digests(folder)})
    code, output, _ = effdl("evaluate", "copy")
    assert code == 1
    assert "when the run measured it" in output


def test_evaluate_runs_no_code_that_a_folder_names(reference, effdl):
    for target in ("os.system", "effdl.data.build.load", "effdl.data.image_folder.Path"):
        shutil.rmtree("copy", ignore_errors=True)
        folder = RunFolder(shutil.copytree(reference, "copy"))
        run = folder.run
        run["config"]["dataset"] |= {"_target_": target, "command": "touch hacked"}
        folder.write_run(run)
        code, _, error = effdl("evaluate", "copy")
        assert code == 2
        assert "a run folder may only name a data set of effdl's" in error
        assert not Path("hacked").exists()


def test_evaluate_without_a_record_says_so(reference, effdl):
    folder = RunFolder(shutil.copytree(reference, "copy"))
    folder.stages.write(folder.stages.read()[:1])  # as if killed before the last row
    folder.result_file.unlink()
    folder.update(status=RUNNING, pid=0)
    code, output, _ = effdl("evaluate", "copy")
    assert code == 0
    assert "cut off before it measured this model" in output
    code, _, error = effdl("evaluate", "copy", "--root", "somewhere")
    assert code == 2
    assert "--root somewhere: digits comes with effdl and has no root" in error


def test_a_stage_without_training_has_a_cost_and_one_without_meter_is_unknown(effdl):
    assert effdl("train", "model=mlp", "epochs=0", "hydra.run.dir=a")[0] == 0
    assert effdl("train", "model=mlp", "epochs=0", "energy.enabled=false", "hydra.run.dir=b")[0] == 0
    assert 0 < result(Path("a"))["stages"][0]["energy_kwh"] < 1e-6
    assert result(Path("b"))["stages"][0]["energy_kwh"] is None
    assert result(Path("b"))["total"]["energy_kwh"] is None
    assert result(Path("b"))["stages"][0]["memory_peak_bytes"] is None


def test_two_runs_at_once_do_not_share_a_folder(tmp_path):
    quick = ("model=mlp", "epochs=0", "energy.enabled=false")
    commands = [[sys.executable, "-m", "effdl", "train", *quick, f"seed={seed}"] for seed in (0, 1)]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for command in commands]
    folders = {process.communicate(timeout=120)[0].splitlines()[-1] for process in both}
    assert len(folders) == 2
    seeds = [json.loads(file.read_text())["seed"] for file in tmp_path.rglob("run.json")]
    assert sorted(seeds) == [0, 1]


def test_same_seed_same_file_other_seed_other_file(effdl):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert effdl("train", "model=mlp", "epochs=1", f"seed={seed}", f"hydra.run.dir={name}")[0] == 0
    files = [Path(name, "model.safetensors").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]


def test_weights_of_a_run_start_another(effdl):
    assert effdl("train", "model=mlp", "epochs=5", "hydra.run.dir=first")[0] == 0
    assert effdl("train", "model=mlp", "model.weights=first", "epochs=0", "hydra.run.dir=second")[0] == 0
    assert result(Path("first"))["stages"][0]["top1"] == result(Path("second"))["stages"][0]["top1"]


def test_a_loss_that_is_not_finite_fails_the_run(effdl):
    code, output, error = effdl("train", "model=mlp", "optimizer.lr=1e20", "hydra.run.dir=run")
    assert code == 1
    assert "the loss is" in output
    assert "Traceback" not in output + error
    run = json.loads(Path("run/run.json").read_text())
    assert run["status"] == "failed"
    assert "lower optimizer.lr" in run["reason"]


def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(undisturbed, tmp_path, effdl):
    process = start(tmp_path)
    wait_for(process, "dense: epoch 3/3")
    kill(process)
    checkpoint = tmp_path / "run/checkpoint.0.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    code, output, error = effdl("train", *QUICK, "energy.enabled=false", "resume=true")
    assert code == 0
    assert "checkpoint.0.pt is damaged" in output + error
    assert (tmp_path / "run/model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
