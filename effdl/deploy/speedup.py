"""Comparison of a measured speed-up with the one that the operations predict, from two rows of a run."""

from typing import NamedTuple

# A layer that takes less time than this (microseconds) is mostly overhead: eager PyTorch dispatches an operator in 5
# to 10, and a layer comes with its norm and activation; ONNX Runtime needs 1 to 2 for a kernel and what is around it.
_START_US = {"pytorch-eager": 30.0, "other": 5.0}
_LANES = {"avx512f": 16, "avx2": 8, "asimd": 4}  # float32 numbers that an instruction works on, by CPU flag
_NOISE = 0.1  # ratios this close are equal
_WIDE = 1.5  # a ratio of high to low above which the measurement is inconclusive


class _Speed(NamedTuple):
    """Speed-ups: predicted by non-zero MACs and by the width of integers, and measured, with a range."""

    macs: float
    integers: float
    measured: float
    low: float
    high: float


def speed(before: dict, after: dict) -> _Speed:
    """The speed-ups from one row (a stage of ``stages.jsonl``) to another.

    `low` and `high` divide the quartiles that are nearest and farthest: the spread of the measured ratio.
    """
    return _Speed(
        macs=before["macs_nonzero"] / after["macs_nonzero"],
        integers=4.0 if _is_int8(after) and not _is_int8(before) else 1.0,
        measured=before["latency_ms"] / after["latency_ms"],
        low=before["latency_q1_ms"] / after["latency_q3_ms"],
        high=before["latency_q3_ms"] / after["latency_q1_ms"],
    )


def verdict(before: dict, after: dict, facts: dict) -> str:
    """A sentence with the measured speed-up and its range, the predicted one, and the likely reason of a difference.

    Args:
        before, after: rows with ``macs``, ``macs_nonzero`` and the keys of `effdl.measure.latency.latency`;
            ``latency_note`` has the reason why a time is missing.
        facts: ``cpu_flags``, names from /proc/cpuinfo (empty: unknown), and ``layers``, the model's weight layers.
    """
    for row in (before, after):
        if row.get("latency_ms") is None:
            return f"not timed: {row.get('latency_note') or 'no latency was measured'}"
    if before["latency_threads"] != after["latency_threads"]:
        return f"not comparable: timed with {before['latency_threads']} and {after['latency_threads']} threads"
    if not after["macs_nonzero"]:
        return "not comparable: no weight is left"
    found = speed(before, after)
    faster = f"{found.measured:.2f}x as fast ({found.low:.2f} to {found.high:.2f})"
    predicted = f"MACs predict {found.macs:.2f}x" + (", 8-bit integers up to 4x more" if found.integers > 1 else "")
    return f"{faster}; {predicted}: {_reason(found, before, after, facts)}"


def _reason(found: _Speed, before: dict, after: dict, facts: dict) -> str:
    """The likely reason for the measured speed-up."""
    runtimes = before["latency_runtime"], after["latency_runtime"]
    dense = before["macs"] / after["macs"]
    masked = found.macs > dense * (1 + _NOISE)
    if masked and runtimes[0] == runtimes[1]:
        drift = ", and the machine was faster the second time" if found.low > dense * (1 + _NOISE) else ""
        return f"dense kernels do not skip masked zeros{drift}"
    expected = found.macs * found.integers
    if found.low <= expected * (1 + _NOISE) and found.high >= expected * (1 - _NOISE):
        return "as predicted" if found.high < _WIDE * found.low else "the times vary too much to tell"
    if found.measured > expected:
        if runtimes[0] != runtimes[1]:
            return f"the rest is {runtimes[1]} instead of {runtimes[0]}"
        return "the smaller model also moves less memory"
    if masked and found.measured < found.macs:
        return "dense kernels do not skip masked zeros"
    if abs(found.macs - 1) < _NOISE and found.integers == 1 and runtimes[0] != runtimes[1]:
        return f"{runtimes[1]} is slower here than {runtimes[0]}"
    if found.integers > 1 and facts["cpu_flags"] and not _has_vnni(facts["cpu_flags"]):
        return "this CPU has no 8-bit dot products (VNNI), so that narrow layers gain nothing from int8"
    if _starts(after, facts["layers"]):
        each = 1e3 * after["latency_ms"] / facts["layers"]
        return f"overhead-bound, {each:.0f} µs per layer are mostly the start of kernels"
    if found.integers > 1:
        return "what is around the products (memory, requantizing) does not get faster, least in narrow layers"
    lanes = next((lanes for flag, lanes in _LANES.items() if flag in facts["cpu_flags"]), None)
    blocks = f"kernels work on {lanes} channels at a time, and " if lanes else ""
    return f"memory-bound or narrow: {blocks}layers of few channels do fewer MACs for every byte they move"


def _is_int8(row: dict) -> bool:
    """Whether the model of a row was timed with integer arithmetic."""
    return "int8" in row["latency_runtime"]


def _has_vnni(flags: set[str]) -> bool:
    """Whether a CPU multiplies and adds 8-bit integers in one instruction (names of x86 and of Arm)."""
    return bool(set(flags) & {"avx512_vnni", "avx_vnni", "asimddp", "i8mm"})


def _starts(row: dict, layers: int | None) -> bool:
    """Whether starting the kernels takes most of the time of the layers."""
    if not layers:
        return False
    limit = _START_US["pytorch-eager" if row["latency_runtime"].startswith("pytorch-eager") else "other"]
    return 1e3 * row["latency_ms"] / layers < limit
