"""What becomes of an attempt: the kinds of outcomes, the cases of an attack, and the table of how often each came."""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from attacks.sandbox import Observed

CLEAN = "clean"  # refused by one message that names what is wrong, or accepted and honestly used
TRACEBACK = "traceback"
HANG = "hang"  # beyond the limit of time
CRASH = "crash"  # ended by a signal, or with an exit code that no command has
MEMORY = "memory"  # beyond the limit of memory
SILENT = "silent"  # a success whose numbers or claims are wrong, or for a value that cannot have been used
UNNAMED = "unnamed"  # a message that does not say which key or file is meant
LEFT = "left"  # a refusal that left files behind
KINDS = (CLEAN, TRACEBACK, HANG, CRASH, MEMORY, SILENT, UNNAMED, LEFT)
_CODES = (0, 1, 2)  # of the command line: done, failed, the user's mistake


class Verdict(NamedTuple):
    """The kind of an outcome, and what was seen."""

    kind: str
    why: str


@dataclass(frozen=True)
class Case:
    """One attempt.

    `command` repeats it by hand; `attempt` is given an empty folder to work in.
    """

    attack: str
    command: str
    attempt: Callable[[Path], Verdict]


def typed(*arguments: str, before: str = "") -> str:
    """A command as one types it, after what prepares it."""
    return f"{before + '; ' if before else ''}effdl {shlex.join(arguments)}"


def broken(seen: Observed, room_bytes: int = 2 << 30) -> Verdict | None:
    """The verdict on an attempt that ended in no way in which a command may end; None if it ended properly."""
    if seen.timed_out:
        return Verdict(HANG, f"still running after {seen.seconds:.0f} s")
    if seen.signal is not None:
        return Verdict(CRASH, f"signal {seen.signal}: {last_line(seen.error)}")
    if seen.raised or "Traceback (most recent call last)" in seen.text or "HYDRA_FULL_ERROR" in seen.text:
        return Verdict(TRACEBACK, last_line(seen.error))
    if seen.code not in _CODES:
        return Verdict(CRASH, f"exit code {seen.code}")
    if seen.peak_bytes > room_bytes:
        return Verdict(MEMORY, f"{seen.peak_bytes >> 20} MiB, {room_bytes >> 20} MiB are allowed")
    return None


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
    return lines[-1][:300] if lines else ""


def rows_of(found: list[tuple[Case, Verdict]]) -> list[list[str]]:
    """A row for each attack and one for all: tried, then how often each kind."""
    attacks = sorted({case.attack for case, _ in found})
    counts = {name: Counter(verdict.kind for case, verdict in found if case.attack == name) for name in attacks}
    counts["all"] = sum(counts.values(), Counter())
    return [[name, f"{count.total():,}", *(f"{count[kind]:,}" for kind in KINDS)] for name, count in counts.items()]


def failures(found: list[tuple[Case, Verdict]]) -> list[tuple[Case, Verdict]]:
    """Those that are not clean."""
    return [(case, verdict) for case, verdict in found if verdict.kind != CLEAN]
