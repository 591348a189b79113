"""Verdicts: the measured speed-up, its spread, and why it is not the predicted one."""

import pytest

from effdl.deploy.speedup import speed, verdict

EAGER, FP32, INT8 = "pytorch-eager", "ONNX Runtime 1.31.1 fp32", "ONNX Runtime 1.31.1 int8"
X86 = {"cpu_flags": {"avx2", "fma"}, "layers": 20}
VNNI = {"cpu_flags": {"avx2", "avx512_vnni"}, "layers": 20}


def row(ms, macs=40, nonzero=None, runtime=FP32, spread=0.05, threads=1):
    return {
        "macs": macs,
        "macs_nonzero": macs if nonzero is None else nonzero,
        "latency_ms": ms,
        "latency_q1_ms": ms * (1 - spread),
        "latency_q3_ms": ms * (1 + spread),
        "latency_runtime": runtime,
        "latency_threads": threads,
    }


def test_ratio_and_spread_are_those_of_medians_and_quartiles():
    found = speed(row(6.0, macs=40), row(2.0, macs=10, spread=0.1))
    assert found.macs == 4
    assert found.integers == 1
    assert found.measured == pytest.approx(3.0)
    assert found.low == pytest.approx(5.7 / 2.2)
    assert found.high == pytest.approx(6.3 / 1.8)


@pytest.mark.parametrize(
    ("before", "after", "facts", "expected"),
    [
        (row(4.0), row(1.0, macs=10), X86, "as predicted"),
        (row(4.0), row(4.1, nonzero=4), X86, "dense kernels do not skip masked zeros"),
        (row(4.0), row(2.2, macs=20, nonzero=4), X86, "dense kernels do not skip masked zeros"),
        (row(4.0), row(2.7, nonzero=24), X86, "masked zeros, and the machine was faster the second time"),
        (row(4.0), row(0.5, nonzero=24), X86, "masked zeros, and the machine was faster the second time"),
        (row(4.0, runtime=EAGER), row(4.0, nonzero=24), X86, "dense kernels do not skip masked zeros"),
        (row(4.0), row(2.9, runtime=INT8), X86, "no 8-bit dot products (VNNI)"),
        (row(4.0), row(2.0, runtime=INT8), VNNI, "what is around the products"),
        (row(4.0), row(2.0, runtime=INT8), {**X86, "cpu_flags": set()}, "what is around the products"),
        (row(4.0), row(1.0, runtime=INT8), VNNI, "as predicted"),
        (row(0.16), row(0.08, macs=10), X86, "overhead-bound, 4 µs per layer"),
        (row(1.0, runtime=EAGER), row(0.5, macs=10, runtime=EAGER), X86, "overhead-bound, 25 µs per layer"),
        (row(0.4), row(0.2, macs=10), X86, "kernels work on 8 channels at a time"),
        (row(0.4), row(0.2, macs=10), {**X86, "cpu_flags": {"avx2", "avx512f"}}, "kernels work on 16 channels"),
        (row(0.16), row(0.08, macs=10), {"cpu_flags": set(), "layers": None}, "memory-bound or narrow: layers of few"),
        (row(4.0, runtime=EAGER), row(1.0), X86, f"the rest is {FP32} instead of {EAGER}"),
        (row(4.0, runtime=EAGER), row(8.0), X86, f"{FP32} is slower here than {EAGER}"),
        (row(4.0), row(1.0, macs=20), X86, "also moves less memory"),
        (row(4.0), row(4.0, spread=0.4), X86, "the times vary too much to tell"),
    ],
)
def test_the_reason(before, after, facts, expected):
    assert expected in verdict(before, after, facts)


def test_the_whole_sentence():
    sentence = verdict(row(4.0, spread=0), row(2.0, runtime=INT8, spread=0), VNNI)
    assert sentence == (
        "2.00x as fast (2.00 to 2.00); MACs predict 1.00x, 8-bit integers up to 4x more: "
        "what is around the products (memory, requantizing) does not get faster, least in narrow layers"
    )


def test_what_cannot_be_compared_says_so():
    missing = {**row(1.0), "latency_ms": None, "latency_note": "no runtime here runs 4-bit weights"}
    assert verdict(row(1.0), missing, X86) == "not timed: no runtime here runs 4-bit weights"
    assert verdict(missing, row(1.0), X86) == "not timed: no runtime here runs 4-bit weights"
    assert verdict(row(1.0), row(1.0, threads=2), X86) == "not comparable: timed with 1 and 2 threads"
    assert verdict(row(1.0), row(1.0, nonzero=0), X86) == "not comparable: no weight is left"
