"""The command, on small runs."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from effdl.cli.main import main
from effdl.utils.rows import Rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a trained LeNet-5."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    quick = ("model=lenet5", "epochs=2", "device.threads=1", "energy.enabled=false")
    assert main(["train", *quick, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "run")


def top1_by_onnxruntime_alone(path):
    """Accuracy on the test digits from what the file itself says about normalization."""
    from effdl.data.build import load

    config = json.loads((path / "run.json").read_text())["config"]
    test = load(config["dataset"]).test
    told = {entry.key: json.loads(entry.value) for entry in onnx.load(path / "model.onnx").metadata_props}
    session = onnxruntime.InferenceSession(str(path / "model.onnx"), providers=["CPUExecutionProvider"])
    mean, std = (np.array(told[key], np.float32).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    logits = session.run(None, {"images": (test.images.numpy().astype(np.float32) - mean) / std})[0]
    return (logits.argmax(1) == test.labels.numpy()).mean()


def test_onnx_and_torch_export_of_a_run(effdl, run):
    code, output, error = effdl("export", "run", "layers=true")
    assert code == 0, error
    recorded = Rows(run / "stages.jsonl").read()[-1]
    kept = json.loads((run / "export.json").read_text())["onnx"]
    assert kept["top1"] == kept["top1_pytorch"] == recorded["top1"]
    assert kept["images"] == recorded["images"] == 360
    assert kept["top1"] == pytest.approx(top1_by_onnxruntime_alone(run), abs=1e-12)
    assert kept["file"] == "model.onnx"
    assert kept["precision"] == "fp32"
    assert kept["size_bytes"] == (run / "model.onnx").stat().st_size
    assert kept["logit_difference_max"] < 1e-3 * kept["logit_max"]
    assert kept["latency_threads"] == 1
    assert kept["latency_runtime"] == f"ONNX Runtime {onnxruntime.__version__} fp32"
    assert kept["latency_device"] == "cpu"
    assert kept["deployed_bytes"] == kept["size_bytes"]
    assert kept["speedup"] is None  # it is the dense model itself
    assert "verdict" not in kept
    layers = [row["name"] for row in Rows(run / "layers.jsonl").read()]
    assert [row["layer"] for row in kept["layer_times"] if row["layer"]] == layers
    for shown in (*(f"\n{layer} " for layer in layers), "time of each layer"):
        assert shown in output
    for shown in ("top-1", "largest logit difference", "latency, 1 image", f"top1 = {kept['top1']!r}"):
        assert shown in output

    assert effdl("export", "run", "format=torch_export", "threads=2")[0] == 0
    both = json.loads((run / "export.json").read_text())
    assert both["onnx"] == kept
    assert both["torch_export"]["latency_threads"] == 2
    assert {path.name for path in run.iterdir() if path.name.startswith("model.")} == {
        "model.onnx",
        "model.pt2",
        "model.safetensors",
    }
    assert not list(run.glob(".export.*"))


def test_the_dense_model_takes_turns_with_the_export(effdl, run):
    code, output, error = effdl("export", "run", "precision=fp16")
    assert code == 0, error
    kept = json.loads((run / "export.json").read_text())["onnx"]
    assert kept["dense_latency_runtime"] == f"ONNX Runtime {onnxruntime.__version__} fp32"
    assert kept["speedup_low"] <= kept["speedup"] <= kept["speedup_high"]
    assert kept["speedup_rounds"] >= 8
    assert f"speed: {kept['verdict']}" in output
    assert "dense model" in kept["verdict"]
    assert {path.name for path in run.iterdir() if path.suffix == ".onnx"} == {"model.onnx"}


def test_an_export_that_differs_is_an_error_and_leaves_no_file(effdl, run, monkeypatch):
    monkeypatch.setattr("effdl.deploy.export.ort_logits", lambda *_: torch.zeros(360, 10))
    code, _, error = effdl("export", "run")
    assert code == 1
    assert "the exported model's logits differ by up to" in error
    assert not (run / "model.onnx").exists()
    assert not (run / "export.json").exists()
    assert not list(run.glob(".export.*"))


def test_what_cannot_be_exported_is_refused(effdl, run):
    for arguments, message in {
        ("precision=int8",): "quantize=int8",
        ("format=torch_export", "layers=true"): "layers=true format=torch_export: allowed is format=onnx",
        ("format=torch_export", "precision=fp16"): "format=torch_export is written in float32 (allowed: fp32)",
    }.items():
        code, _, error = effdl("export", "run", *arguments)
        assert code == 2
        assert message in error
    (run / "export.json").write_text("{")
    code, _, error = effdl("export", "run")
    assert code == 2
    assert "export.json is damaged" in error


def test_mistakes_are_named(effdl, tmp_path):
    for argument, message in {
        "format=onxx": "format=onxx; did you mean 'onnx'? (allowed: onnx, torch_export, executorch)",
        "precision=int4": "precision=int4; did you mean 'int8'? (allowed: fp32, fp16, int8)",
        "threads=0": "threads=0: allowed is a whole number from 1 to 512",
        "layers=yes": "layers=yes (allowed: true, false)",
        "fromat=onnx": "did you mean 'format'?",
        "onnx": "'onnx' is not a KEY=VALUE",
    }.items():
        code, _, error = effdl("export", "nothing", argument)
        assert code == 2
        assert message in error, error
    code, _, error = effdl("export", "nothing")
    assert (code, "not a run folder" in error) == (2, True)
