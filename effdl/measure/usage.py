"""How much of the processors and of the memory this process and those below it use, and how busy the machine is."""

import os
import time
from typing import NamedTuple

import psutil


class Usage(NamedTuple):
    """What was used until now.

    `own_cpu_s` is the CPU time (user and system) of this process and of all below it, also of those that have ended;
    `busy_cpu_s` that of everything on the machine since it started, also what a virtual machine had to wait for
    others; `memory_bytes` is what this process and those below it hold now: their own pages, not those of libraries,
    which other processes map too.
    """

    own_cpu_s: float
    busy_cpu_s: float
    memory_bytes: int


class Interval(NamedTuple):
    """What was used between two readings; `memory_bytes` is the mean of what was held at both ends."""

    duration_s: float
    own_cpu_s: float
    busy_cpu_s: float
    memory_bytes: float

    @property
    def cpu_share(self) -> float:
        """This run's part of the CPU time that was used on the machine, 0 to 1."""
        return self.own_cpu_s / max(self.own_cpu_s, self.busy_cpu_s) if self.own_cpu_s else 0.0

    @property
    def others_cpu_s(self) -> float:
        """CPU time that other programs used on the machine."""
        return max(self.busy_cpu_s - self.own_cpu_s, 0.0)


def usage() -> Usage:
    """The usage until now. It takes about 2 ms, most of it to look for child processes."""
    own, ended = psutil.Process(), os.times()
    cpu_s = time.process_time() + ended.children_user + ended.children_system  # finer than psutil's
    memory = _pages(own)
    for process in own.children(recursive=True):
        try:
            times, held = process.cpu_times(), _pages(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended; its parent has its time, or will
            continue
        cpu_s += times.user + times.system + times.children_user + times.children_system
        memory += held
    return Usage(cpu_s, _busy(psutil.cpu_times()), memory)


def between(before: Usage, after: Usage, duration_s: float) -> Interval:
    """What was used from one reading to the next, `duration_s` apart."""
    return Interval(
        duration_s,
        max(after.own_cpu_s - before.own_cpu_s, 0.0),
        max(after.busy_cpu_s - before.busy_cpu_s, 0.0),
        (before.memory_bytes + after.memory_bytes) / 2,
    )


def _pages(process: psutil.Process) -> int:
    """Bytes of memory that a process holds, without what it shares with others."""
    held = process.memory_info()
    return held.rss - getattr(held, "shared", 0)


def _busy(times) -> float:
    """CPU time that was used, of psutil's times of all processors; Linux counts guests as user time too."""
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
