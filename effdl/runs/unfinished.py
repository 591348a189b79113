"""Runs that were cut off, found by their config."""

import socket
from pathlib import Path

from effdl.runs.folder import DONE, RUNNING, RunFolder
from effdl.utils.errors import UserError
from effdl.utils.processes import is_alive, is_fresh


def _is_under_way(run: dict, folder: Path) -> bool:
    """Whether a process, here or on another machine, is at a run, as far as can be known without its lock."""
    elsewhere = run.get("host") != socket.gethostname() and folder.exists() and is_fresh(folder)
    return run.get("status") == RUNNING and (is_alive(run) or elsewhere)


def find_unfinished(root: Path, config_fingerprint: str) -> Path | None:
    """The newest unfinished run of a config at any depth below `root`, or None."""
    found = []
    for file in root.rglob("run.json"):
        try:
            run = RunFolder(file.parent).run
        except UserError:  # damaged, or another program's
            continue
        same = run.get("config_fingerprint") == config_fingerprint
        if same and run["status"] != DONE and not _is_under_way(run, file.parent):
            found.append((run["started"], file.parent))
    return max(found)[1] if found else None
