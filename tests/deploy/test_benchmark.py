"""Every model is timed in a process of its own."""

import subprocess
import sys
import time

import pytest

from effdl.deploy import benchmark
from effdl.deploy.onnx_runtime import runtime_name
from effdl.measure.latency import latency
from effdl.utils.errors import RunError

SHAPE = (3, 16, 16)


def test_times_have_the_keys_of_a_run_and_are_plausible(onnx_file, stored_model, float_model):
    """And a batch of 256 takes longer than one image."""
    keys = set(latency(float_model("lenet5"), SHAPE, device="cpu", max_runs=5))
    for found, runtime in (
        (benchmark.timed(onnx_file, SHAPE, threads=1), runtime_name()),
        (benchmark.timed(stored_model, SHAPE, threads=1), "pytorch-eager"),
    ):
        assert set(found) == keys
        assert 0.001 < found["latency_q1_ms"] <= found["latency_ms"] <= found["latency_q3_ms"] < 1000
        assert found["latency_runs"] >= benchmark.MIN_RUNS
        assert (found["latency_threads"], found["latency_batch"], found["latency_runtime"]) == (1, 1, runtime)
    one, many = (benchmark.timed(onnx_file, SHAPE, threads=1, batch=batch) for batch in (1, 256))
    assert many["latency_batch"] == 256
    assert many["latency_ms"] > 10 * one["latency_ms"]


def test_threads_and_layout_reach_the_process(stored_model, monkeypatch):
    commands = []

    def run(command, **kwargs):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout='noise\n{"latency_ms": 1.5}\n', stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    found = benchmark.timed(stored_model, SHAPE, threads=2, batch=3, channels_last=True, trusted=True)
    assert found == {"latency_ms": 1.5}
    args = benchmark.parse(commands[0][3:])
    assert commands[0][:3] == [sys.executable, "-m", "effdl.deploy.benchmark"]
    assert (args.file, args.shape, args.threads, args.batch) == (stored_model, list(SHAPE), 2, 3)
    assert args.channels_last
    assert args.trust


def test_a_file_that_cannot_be_run_is_one_message(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(RunError, match=r"broken.onnx could not be timed: .+"):
        benchmark.timed(tmp_path / "broken.onnx", SHAPE, threads=1)


def test_a_process_that_needs_no_pytorch_does_not_import_it(onnx_file):
    code = (
        "import sys; from effdl.deploy import benchmark\n"
        f"path = benchmark.Path({str(onnx_file)!r})\n"
        "benchmark._onnx_runtime(path, benchmark.np.zeros((1, 3, 16, 16), 'float32'), 1)[0]()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_call_is_timed():
    assert 0.02 <= benchmark.seconds(lambda: time.sleep(0.02)) < 1
