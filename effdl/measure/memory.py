"""Peak memory."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

PROCESS = Path("/proc/self")
_uncounted = [0]  # bytes of this process that are nobody's: those of imports, and what measuring leaves


@dataclass
class _PeakMemory:
    """`bytes` is None until the end of the ``with`` block, and after it if `source` is "unavailable"."""

    bytes: int | None = None
    source: Literal["cuda-allocator", "process-rss", "unavailable"] = "unavailable"


@contextmanager
def peak_memory(device: torch.device | str) -> Iterator[_PeakMemory]:
    """Measure the peak memory in the ``with`` block.

    For a CUDA device it is that of the tensors on the GPU (PyTorch's allocator), else the resident memory of the
    process, with what its allocator keeps for reuse, above what `count_from_here` and `uncounted` leave out (Linux
    only: VmHWM and VmRSS, man 5 proc).
    """
    peak, device = _PeakMemory(), torch.device(device)
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.init()  # without a context there are no statistics to reset
        torch.cuda.reset_peak_memory_stats(device)
        peak.source = "cuda-allocator"
    elif reset_high_water_mark():
        peak.source = "process-rss"
    try:
        yield peak
    finally:
        if cuda:
            peak.bytes = torch.cuda.max_memory_allocated(device)
        elif peak.source == "process-rss":
            peak.bytes = max(0, _resident("VmHWM") - _uncounted[0])


def count_from_here(held: int) -> None:
    """Leave out of every peak to come what this process has taken so far: Python, libraries, earlier runs.

    Args:
        held: bytes of it that count: of the tensors that were loaded already.
    """
    if reset_high_water_mark():
        _uncounted[0] = _trimmed() - held


@contextmanager
def uncounted() -> Iterator[None]:
    """Leave out of every peak to come what the ``with`` block takes and keeps, such as libraries that it imports."""
    known = reset_high_water_mark()
    before = _trimmed() if known else 0
    try:
        yield
    finally:
        if known:
            _uncounted[0] += max(0, _trimmed() - before)


def reset_high_water_mark() -> bool:
    """Reset the peak resident memory of the process to the present one; False if the system does not support it."""
    try:
        (PROCESS / "clear_refs").write_text("5")
        _resident("VmHWM")
    except (OSError, LookupError):
        return False
    return True


def _trimmed() -> int:
    """Resident memory of this process in bytes, after freed memory was given back where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
    return _resident("VmRSS")


def _resident(key: Literal["VmHWM", "VmRSS"]) -> int:
    """Peak (HWM: high-water mark) or present resident memory of this process in bytes."""
    lines = dict(line.split(":", 1) for line in (PROCESS / "status").read_text().splitlines())
    return 1024 * int(lines[key].split()[0])  # "  12345 kB"
