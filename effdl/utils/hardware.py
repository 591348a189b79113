"""What the machine has: instruction sets of the CPU, and memory."""

import os
from functools import cache
from pathlib import Path


def cpu_flags() -> set[str]:
    """The processor's instruction sets by the names of /proc/cpuinfo; empty if there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    named = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(named, "").split())


@cache
def memory_bytes() -> int:
    """The memory that a process may have: the machine's, or less if its container is limited."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such file, or no limit
            continue
    return min(found)
