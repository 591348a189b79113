"""Verdicts: what the measured speed-up shows, and why it is not the predicted one."""

import pytest

from effdl.deploy.speedup import verdict
from effdl.measure.ratio import NO_RATIO, Ratio

EAGER, FP32, INT8 = "pytorch-eager", "ONNX Runtime 1.31.1 fp32", "ONNX Runtime 1.31.1 int8 (19 of 20 layers)"
X86 = {"cpu_flags": {"avx2", "fma"}, "layers": 20}
VNNI = {"cpu_flags": {"avx2", "avx512_vnni"}, "layers": 20}
DENSE = {"macs": 40, "macs_nonzero": 40}


def row(speedup, macs=40, nonzero=None, runtime=FP32, spread=0.05, ms=4.0, bits=32, threads=1):
    return {
        "macs": macs,
        "macs_nonzero": macs if nonzero is None else nonzero,
        "weight_bits": bits,
        "latency_ms": ms,
        "latency_runtime": runtime,
        "latency_threads": threads,
        "latency_batch": 1,
        "latency_device": "cpu",
        "latency_layout": None,
        "dense_latency_ms": ms * speedup,
        "dense_latency_runtime": runtime.replace(INT8, FP32),
        **Ratio(speedup, speedup * (1 - spread), speedup * (1 + spread), 41, 1.02).row(),
    }


@pytest.mark.parametrize(
    ("after", "facts", "expected"),
    [
        (row(4.0, macs=10), X86, "as predicted"),
        (row(1.0, nonzero=4), X86, "dense kernels do not skip masked zeros"),
        (row(1.9, macs=20, nonzero=4), X86, "dense kernels do not skip masked zeros"),
        (row(1.3, nonzero=4), X86, "operations do not explain it"),
        (row(1.4, runtime=INT8), X86, "no 8-bit dot products (VNNI)"),
        (row(2.0, runtime=INT8), VNNI, "what is around the products"),
        (row(2.0, runtime=INT8), {**X86, "cpu_flags": set()}, "what is around the products"),
        (row(4.0, runtime=INT8), VNNI, "as predicted"),
        (row(0.3, bits=8), VNNI, "no layer ran in 8-bit integers"),
        (row(2.0, macs=10, ms=0.08), X86, "overhead-bound, 4 µs per layer"),
        (row(2.0, macs=10, ms=0.5, runtime=EAGER), X86, "overhead-bound, 25 µs per layer"),
        (row(2.0, macs=10), X86, "kernels work on 8 channels at a time"),
        (row(2.0, macs=10), {**X86, "cpu_flags": {"avx2", "avx512f"}}, "kernels work on 16 channels"),
        (row(2.0, macs=10, ms=0.08), {"cpu_flags": set(), "layers": None}, "memory-bound or narrow: layers of few"),
        (row(4.0, macs=20), X86, "also moves less memory"),
        (row(1.0, spread=0.4), X86, "the times vary too much to tell"),
        (row(40.0, nonzero=4, spread=0.9), X86, "the times vary too much to tell"),
    ],
)
def test_the_reason(after, facts, expected):
    assert expected in verdict(DENSE, after, facts).partition("; ")[2]


def test_the_whole_sentence():
    after = row(2.0, runtime=INT8) | {"latency_layout": "channels_last"}
    assert verdict(DENSE, after, VNNI) == (
        "2.00x as fast (1.90 to 2.10) as the dense model, 41 rounds in turns, "
        "ONNX Runtime 1.31.1 int8 (19 of 20 layers) against ONNX Runtime 1.31.1 fp32, "
        "cpu, channels_last, 1 thread, 1 image; MACs predict 1.00x, 8-bit integers up to 4x more: "
        "what is around the products (memory, requantizing) does not get faster, least in narrow layers"
    )
    assert verdict(DENSE, row(0.5, threads=2), VNNI).startswith(
        "slower, 0.50x as fast (0.47 to 0.53) as the dense model, 41 rounds in turns, "
        "ONNX Runtime 1.31.1 fp32, cpu, 2 threads, 1 image; MACs predict 1.00x: "
    )
    assert verdict(DENSE, row(1.0, nonzero=4), VNNI) == (
        "no difference that this machine can show from the dense model (0.95 to 1.05), its own copy is up to 1.02x, "
        "41 rounds in turns, "
        "ONNX Runtime 1.31.1 fp32, cpu, 1 thread, 1 image; "
        "MACs predict 10.00x: dense kernels do not skip masked zeros"
    )


def test_what_cannot_be_compared_says_so():
    missing = {**row(1.0), "latency_ms": None, "latency_note": "no runtime here runs 4-bit weights"}
    assert verdict(DENSE, missing, X86) == "not timed: no runtime here runs 4-bit weights"
    few = row(1.0) | NO_RATIO
    assert verdict(DENSE, few, X86) == "not compared: each run takes so long that there were too few"
    assert verdict(DENSE, row(1.0, nonzero=0), X86).endswith("1 image; no weight is left")
