"""Peak memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

PROCESS = Path("/proc/self")


@dataclass
class _PeakMemory:
    """`bytes` is None until the end of the ``with`` block, and after it if `source` is "unavailable"."""

    bytes: int | None = None
    source: Literal["cuda-allocator", "process-rss", "unavailable"] = "unavailable"


@contextmanager
def peak_memory(device: torch.device | str) -> Iterator[_PeakMemory]:
    """Measure the peak memory in the ``with`` block.

    For a CUDA device it is that of the tensors on the GPU (PyTorch's allocator), else the resident memory of the whole
    process, with Python, libraries and memory that its allocator keeps for reuse (Linux only: VmHWM, man 5 proc).
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
            peak.bytes = _high_water_mark()


def reset_high_water_mark() -> bool:
    """Reset the peak resident memory of the process to the present one; False if the system does not support it."""
    try:
        (PROCESS / "clear_refs").write_text("5")
        _high_water_mark()
    except (OSError, LookupError):
        return False
    return True


def _high_water_mark() -> int:
    """Peak resident memory of this process in bytes."""
    lines = dict(line.split(":", 1) for line in (PROCESS / "status").read_text().splitlines())
    return 1024 * int(lines["VmHWM"].split()[0])  # "  12345 kB"
