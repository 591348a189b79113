"""Instruction sets of the CPU."""

from pathlib import Path


def cpu_flags() -> set[str]:
    """The processor's instruction sets by the names of /proc/cpuinfo; empty if there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    named = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(named, "").split())
