"""The run folder: which files it holds, how they are written and read. No torch here.

======================  ==========================================================================
``run.json``            status, reason, config and its fingerprint, provenance
``epochs.jsonl``        one row per training epoch
``stages.jsonl``        one row per measured stage, appended as it happens
``layers.jsonl``        one row per stage and layer: shape, zeros, bits, MACs, bytes
``result.json``         ``{"stages": [...], "total": {...}}``, written when the run is done
``model.safetensors``   the stored model of the last stage (see ``effdl.models.storage``)
``checkpoint.*``        where training stands; what ``resume`` reads
``curves.png``          the training curves
``train.log``           what happened, with times
``.hydra/``             the composed config as Hydra saw it
======================  ==========================================================================
"""

import contextlib
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

from effdl.config.identity import by_option, essential, fingerprint, flatten
from effdl.utils.clock import now
from effdl.utils.errors import RunError, UserError
from effdl.utils.files import sweep_temporary, write_json
from effdl.utils.processes import is_alive, is_fresh, process_start

_LAYOUT = 2  # of run.json: configs by options
DONE, RUNNING, INTERRUPTED, FAILED, STOPPED = "done", "running", "interrupted", "failed", "stopped"

log = logging.getLogger(__name__)

# What the last bits of a result depend on, besides the config and the data.
_DECISIVE = ("threads", "world_size", "versions.torch", "hardware.cpu", "hardware.device", "hardware.gpu")


class Outcome(NamedTuple):
    """How a run ended: one of the statuses above, and why unless it is done.

    `told`: another process of the run has said why.
    """

    status: str
    reason: str | None = None
    told: bool = False


class RunFolder:
    """The files of one run, and its status."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.run_file = self.path / "run.json"
        self.epochs_file = self.path / "epochs.jsonl"
        self.stages_file = self.path / "stages.jsonl"
        self.layers_file = self.path / "layers.jsonl"
        self.result_file = self.path / "result.json"
        self.model_file = self.path / "model.safetensors"
        self.curves_file = self.path / "curves.png"
        self.log_file = self.path / "train.log"

    @property
    def run(self) -> dict:
        """What ``run.json`` says; empty if there is none.

        Raises:
            UserError: the file is not readable JSON.
        """
        if not self.run_file.exists() or not (text := self.run_file.read_bytes()):  # empty: just claimed
            return {}
        try:
            return with_options(json.loads(text))
        except ValueError as error:
            raise UserError(f"{self.run_file} is damaged: {error}") from error

    @property
    def result(self) -> dict:
        """What ``result.json`` says; empty if the run is not done."""
        return json.loads(self.result_file.read_bytes()) if self.result_file.exists() else {}

    def update(self, **values) -> None:
        """Change these keys of ``run.json`` and keep the others."""
        write_json(self.run_file, {**self.run, **values})

    def check_free(self, config: dict, resume: bool) -> None:
        """Refuse a folder that this config must not write to; called before anything is written.

        Raises:
            UserError: it holds a run and `resume` is off, a run of another config, or one that is still going on.
        """
        run = self.run
        if not run:
            return
        if not resume:
            raise UserError(
                f"{self.path} already holds a run (status {run['status']}): "
                "choose another hydra.run.dir, or continue it with resume=true"
            )
        mine, theirs = essential(config), essential(run["config"])
        differing = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
        if differing or list(mine) != list(theirs):
            details = ", ".join(f"{key}={mine.get(key)} (there: {theirs.get(key)})" for key in differing[:5])
            details = details or "another order of its keys"
            raise UserError(f"{self.path} holds a run of another config, which cannot be resumed with {details}")
        if run["status"] == RUNNING and is_alive(run):
            raise UserError(f"{self.path} is being written to by process {run['pid']}")

    def check_data(self, data_fingerprint: str) -> None:
        """Refuse to resume a run on other data than it began with.

        Raises:
            UserError: the fingerprints differ.
        """
        if self.run.get("data_fingerprint", data_fingerprint) != data_fingerprint:
            raise UserError(f"{self.path} holds a run on other data, which cannot be resumed on these (dataset.root?)")

    def start(self, config: dict, provenance: dict) -> None:
        """Mark the run as running; a resumed one keeps when and where it first started."""
        before = self.run
        sweep_temporary(self.path)
        for difference in _differences(before, provenance):
            log.warning("resumed with %s: the result may not be bit-identical", difference)
        write_json(
            self.run_file,
            {
                "status": RUNNING,
                "reason": None,
                "started": before.get("started", now()),
                "ended": None,
                "resumed": before["resumed"] + 1 if before else 0,
                "pid": os.getpid(),
                "process_started": process_start(os.getpid()),
                "host": socket.gethostname(),
                "layout": _LAYOUT,
                "config": by_option(config),
                "config_fingerprint": fingerprint(config),
                **(provenance | {key: before[key] for key in provenance if key in before}),
                "starts": [*before.get("starts", []), {"started": now(), **provenance}],
            },
        )

    def claim(self, config: dict) -> None:
        """Make sure once more that the folder is free, and create an empty ``run.json``, which only one process can.

        Raises:
            UserError: see `check_free`.
            RunError: another process has begun here since it was checked.
        """
        self.check_free(config, bool(config["resume"]))
        if self.run:
            return
        try:
            self.run_file.open("x").close()
        except FileExistsError as error:
            if self.run or self.run_file.stat().st_mtime > time.time() - 60:
                raise RunError(f"{self.path} was taken by another run that started at the same time") from error
        except OSError as error:
            raise RunError(f"cannot write {self.run_file}: {error.strerror}") from error

    def refuse(self, config: dict, reason: str) -> None:
        """Note down a run that failed before it could begin."""
        run = {"started": now(), "resumed": 0, "host": socket.gethostname(), "pid": os.getpid(), "starts": []}
        run |= {"layout": _LAYOUT, "config": by_option(config), "config_fingerprint": fingerprint(config)}
        write_json(self.run_file, {**run, **self.run, "status": FAILED, "reason": reason, "ended": now()})

    def end(self, status: str, reason: str | None = None) -> None:
        """Mark how the run ended."""
        self.update(status=status, reason=reason, ended=now())


def with_options(run: dict) -> dict:
    """What a ``run.json`` says in today's layout; layout 1 named Python paths."""
    if run.get("layout", 1) == _LAYOUT or not isinstance(run.get("config"), dict):
        return run
    return {
        **run,
        "layout": _LAYOUT,
        "config": by_option(run["config"]),
        "config_fingerprint": fingerprint(run["config"]),
    }


def _differences(before: dict, provenance: dict) -> list[str]:
    """What of the software and hardware that decide the last bits has changed since a run began."""
    if not before:
        return []
    here, there = flatten(provenance), flatten(before["starts"][-1])
    return [f"{key} {here.get(key)} (before: {there.get(key)})" for key in _DECISIVE if here.get(key) != there.get(key)]


def is_under_way(run: dict, folder: Path) -> bool:
    """Whether a process, here or on another machine, is at a run, as far as can be known."""
    elsewhere = run.get("host") != socket.gethostname() and folder.exists() and is_fresh(folder)
    return run.get("status") == RUNNING and (is_alive(run) or elsewhere)


def find_unfinished(root: Path, config_fingerprint: str) -> Path | None:
    """The newest unfinished run of a config at any depth below `root`, or None."""
    found = []
    for file in root.rglob("run.json"):
        with contextlib.suppress(ValueError, OSError):
            run = json.loads(file.read_bytes())
            run = with_options(run) if isinstance(run, dict) else {}
            if run.get("config_fingerprint") != config_fingerprint:
                continue  # another program's, or another experiment
            if run["status"] != DONE and not is_under_way(run, file.parent):
                found.append((run["started"], file.parent))
    return max(found)[1] if found else None
