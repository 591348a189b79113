"""Every model is timed in a process of its own."""

import subprocess
import sys

import pytest

from effdl.deploy import benchmark
from effdl.deploy.onnx_runtime import runtime_name
from effdl.measure.timing import MIN_ROUNDS, latency_row
from effdl.utils.errors import RunError

SHAPE = (3, 16, 16)


def test_times_have_the_keys_of_a_run_and_are_plausible(onnx_file, stored_model):
    """And a batch of 256 takes longer than one image."""
    keys = set(latency_row([[0.0, 0.0]], 1, 1, "", "", None))
    for path, runtime, layout in (
        (onnx_file, f"{runtime_name()} fp32", None),
        (stored_model, "pytorch-eager", "contiguous"),
    ):
        found = benchmark.timed([path, path], SHAPE, threads=1, throughput_batch=16)
        assert len(found.rows) == len(found.rounds) == 2
        assert len(found.rounds[0]) == len(found.rounds[1]) >= MIN_ROUNDS
        assert found.throughput["throughput_images_per_s"] > 100
        assert found.throughput["throughput_batch"] == 16
        for row in found.rows:
            assert set(row) == keys
            assert 0.001 < row["latency_q1_ms"] <= row["latency_ms"] <= row["latency_q3_ms"] < 1000
            assert (row["latency_threads"], row["latency_batch"], row["latency_runtime"]) == (1, 1, runtime)
            assert (row["latency_device"], row["latency_layout"]) == ("cpu", layout)
    one, many = (benchmark.timed([onnx_file], SHAPE, threads=1, batch=batch) for batch in (1, 256))
    assert many.rows[0]["latency_batch"] == 256
    assert many.rows[0]["latency_ms"] > 10 * one.rows[0]["latency_ms"]
    assert many.throughput == {}


def test_sessions_that_take_turns_share_their_threads(onnx_file):
    found = benchmark.timed([onnx_file] * 3, SHAPE, threads=2)
    assert [row["latency_threads"] for row in found.rows] == [2, 2, 2]


def test_threads_and_layout_reach_the_process(stored_model, monkeypatch):
    commands = []

    def run(command, **kwargs):
        commands.append(command)
        out = 'noise\n{"rows": [{"latency_ms": 1.5}], "rounds": [[[0.0015]]], "throughput": {}}\n'
        return subprocess.CompletedProcess(command, 0, stdout=out, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    found = benchmark.timed(
        [stored_model], SHAPE, threads=2, batch=3, throughput_batch=7, channels_last=True, trusted=True
    )
    assert found == ([{"latency_ms": 1.5}], [[[0.0015]]], {})
    args = benchmark.parse(commands[0][3:])
    assert commands[0][:3] == [sys.executable, "-m", "effdl.deploy.benchmark"]
    assert (args.files, args.shape, args.threads, args.batch) == ([stored_model], list(SHAPE), 2, 3)
    assert args.throughput == 7
    assert args.channels_last
    assert args.trust


def test_a_file_that_cannot_be_run_is_one_message(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(RunError, match=r"broken.onnx could not be timed: .+"):
        benchmark.timed([tmp_path / "broken.onnx"], SHAPE, threads=1)


def test_a_process_that_needs_no_pytorch_does_not_import_it(onnx_file):
    code = (
        "import sys; from effdl.deploy import benchmark\n"
        f"benchmark._time_files(benchmark.parse([{str(onnx_file)!r}, *'--shape 3 16 16'.split()]))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
