"""Whether the process of a run is still running. Standard library only."""

import contextlib
import os
import socket
import time
from pathlib import Path

_FRESH_S = 600  # a run writes at least once per epoch


def process_start(pid: int) -> str | None:
    """The start time of a process in kernel ticks, which distinguishes it from a later one with the same id (Linux).

    None if there is no such process, or if it is a zombie.
    """
    with contextlib.suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return None if state in "ZX" else fields[18]
    return None


def is_alive(run: dict) -> bool:
    """Whether the process that wrote this ``run.json`` still runs here."""
    if run.get("host") != socket.gethostname() or run.get("pid") in (None, os.getpid()):
        return False
    try:
        os.kill(run["pid"], 0)
    except PermissionError:  # a process of another user
        pass
    except (OSError, OverflowError):
        return False
    return run.get("process_started") == process_start(run["pid"])


def is_fresh(folder: Path) -> bool:
    """Whether a file in a folder was written recently, the only sign of a process on another machine."""
    return any(path.stat().st_mtime > time.time() - _FRESH_S for path in folder.iterdir())
