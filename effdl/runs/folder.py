"""The run folder: which files it holds, how they are written and read. No torch here.

======================  ==========================================================================
``run.json``            status, reason, config and its fingerprint, provenance
``epochs.jsonl``        one row per training epoch
``stages.jsonl``        one row per measured stage, appended as it happens
``layers.jsonl``        one row per stage and layer: shape, zeros, bits, MACs, bytes
``result.json``         ``{"stages": [...], "total": {...}, "files": {...}}``, written when the run is done
``model.safetensors``   the stored model of the last stage (see ``effdl.models.storage``)
``checkpoint.*``        where training stands; what ``resume`` reads
``.lock``               locked as long as a process is at the run
``curves.png``          the training curves
``reconstructions.png``  what an autoencoder draws of images after its pretraining
``train.log``           what happened, with times
``.hydra/``             the composed config as Hydra saw it
======================  ==========================================================================

The JSON files and rows carry seals (`effdl.utils.rows`) that bind them to the config of the run; `effdl.runs.verify`
checks that all files belong together. Runs of layouts 1 and 2 have none.
"""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from effdl.config.identity import by_option, essential, fingerprint, flatten
from effdl.runs.records import ResultRecord, RunRecord, checked
from effdl.utils.clock import now
from effdl.utils.errors import UserError
from effdl.utils.files import read_file, sweep_temporary, write_json
from effdl.utils.locks import locked
from effdl.utils.processes import is_alive, process_start
from effdl.utils.rows import Rows, holds, sealed, without_seal

_LAYOUT = 3  # of the folder
_OPTIONS, _SEALED = 2, 3  # the layouts since which configs name options, and files have seals
DONE, RUNNING, INTERRUPTED, FAILED, STOPPED = "done", "running", "interrupted", "failed", "stopped"

log = logging.getLogger(__name__)

# What the last bits of a result depend on, besides the config and the data: keys of `effdl.runs.provenance`.
DECISIVE = ("threads", "world_size", "versions.torch", "hardware.cpu", "hardware.device", "hardware.gpu")


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
        self.drawings_file = self.path / "reconstructions.png"
        self.log_file = self.path / "train.log"
        self._key: list[str | None] = []  # empty as long as it is not known

    @property
    def run(self) -> dict:
        """What ``run.json`` says; empty if there is none.

        Raises:
            UserError: the file is damaged.
        """
        found = _read_object(self.run_file)
        if not found:
            return {}
        run = checked(found, RunRecord, self.run_file)
        if run.get("layout", 1) >= _SEALED and not holds(run, ""):
            raise UserError(f"{self.run_file} is damaged: its content is not what was written (its seal does not hold)")
        run = _with_options(without_seal(run))
        if not self._key:  # it never changes
            self._key.append(run["config_fingerprint"] if run.get("layout", 1) >= _SEALED else None)
        return run

    @property
    def key(self) -> str | None:
        """The key of the seals of this run's files, the fingerprint of its config; None: they have none."""
        if not self._key and not self.run:  # reading it notes the key
            return None
        return self._key[0]

    @property
    def epochs(self) -> Rows:
        """One row per training epoch."""
        return Rows(self.epochs_file, self.key)

    @property
    def stages(self) -> Rows:
        """One row per measured stage."""
        return Rows(self.stages_file, self.key)

    @property
    def layers(self) -> Rows:
        """One row per stage and layer."""
        return Rows(self.layers_file, self.key)

    @property
    def result(self) -> dict:
        """What ``result.json`` says; empty if the run is not done.

        Raises:
            UserError: the file is damaged, or of another run.
        """
        found = _read_object(self.result_file)
        if not found:
            return {}
        result, key = checked(found, ResultRecord, self.result_file), self.key
        if key is not None and not holds(result, key):
            raise UserError(f"{self.result_file} was changed, or is of another run (its seal does not hold)")
        return without_seal(result)

    @property
    def overrides(self) -> list[str]:
        """What was typed to make the run, without ``resume``.

        Raises:
            UserError: the file of an earlier layout that says it is damaged.
        """
        run, file = self.run, self.path / ".hydra" / "overrides.yaml"
        found = run.get("overrides")
        if found is None and run.get("layout", 1) < _SEALED:
            try:
                found = yaml.safe_load(read_file(file))
            except (yaml.YAMLError, ValueError) as error:
                raise UserError(f"{file} is damaged: {error}") from error
        return [text for text in found or [] if isinstance(text, str) and not text.startswith("resume=")]

    def finish(self, result: dict) -> None:
        """Write ``result.json``."""
        key = self.key
        write_json(self.result_file, result if key is None else sealed(result, key))

    def update(self, **values) -> None:
        """Change these keys of ``run.json`` and keep the others."""
        self.write_run({**self.run, **values})

    @contextmanager
    def owned(self, wait: bool = False) -> Iterator[None]:
        """Keep every other process from running here; the folder is created.

        Args:
            wait: for the process that is at it, if there is one.

        Raises:
            UserError: another process is at it, or the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                mine = stack.enter_context(locked(self.path / ".lock", wait=wait))
            except OSError as error:
                which = f" ({error.filename})" if str(error.filename).endswith(".lock") else ""
                raise UserError(f"hydra.run.dir={self.path}: {error.strerror}{which}") from error
            if not mine:
                raise UserError(f"{self.path} is being written to by another process")
            yield

    def check_free(self, config: dict, resume: bool) -> None:
        """Refuse a folder that this config must not write to; called before anything is written.

        Raises:
            UserError: it holds a run and `resume` is off, a run of another config, one that is still going on, or files
                of a run of which nothing is known.
        """
        run = self.run
        if not run:
            self._check_empty()
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

    def _check_empty(self) -> None:
        """Refuse files of a run whose ``run.json`` is gone.

        Raises:
            UserError: names them.
        """
        files = (self.epochs_file, self.stages_file, self.layers_file, self.result_file, self.model_file)
        found = [path.name for path in (*files, *sorted(self.path.glob("checkpoint.*.pt"))) if path.exists()]
        if found:
            raise UserError(
                f"{self.path} holds files of a run ({', '.join(found)}) but no run.json that says of which: "
                "choose another hydra.run.dir, or empty the folder"
            )

    def check_data(self, data_fingerprint: str) -> None:
        """Refuse to resume a run on other data than it began with.

        Raises:
            UserError: the fingerprints differ.
        """
        if self.run.get("data_fingerprint", data_fingerprint) != data_fingerprint:
            raise UserError(f"{self.path} holds a run on other data, which cannot be resumed on these (dataset.root?)")

    def start(self, config: dict, provenance: dict, overrides: list[str] | None = None) -> None:
        """Mark the run as running; a resumed one keeps its layout, and when and where it first started."""
        before = self.run
        sweep_temporary(self.path)
        for difference in _differences(before, provenance):
            log.warning("resumed with %s: the result may not be bit-identical", difference)
        self.write_run(
            {
                "status": RUNNING,
                "reason": None,
                "started": before.get("started", now()),
                "ended": None,
                "resumed": before["resumed"] + 1 if before else 0,
                "pid": os.getpid(),
                "process_started": process_start(os.getpid()),
                "host": socket.gethostname(),
                **self._what(config, overrides or []),
                **(provenance | {key: before[key] for key in provenance if key in before}),
                "starts": [*before.get("starts", []), {"started": now(), **provenance}],
            },
        )

    def refuse(self, config: dict, reason: str) -> None:
        """Note down a run that failed before it could begin."""
        run = {"started": now(), "resumed": 0, "host": socket.gethostname(), "pid": os.getpid(), "starts": []}
        self.write_run(
            {**run, **self._what(config, []), **self.run, "status": FAILED, "reason": reason, "ended": now()},
        )

    def end(self, status: str, reason: str | None = None) -> None:
        """Mark how the run ended."""
        self.update(status=status, reason=reason, ended=now())

    def _what(self, config: dict, overrides: list[str]) -> dict:
        """What the run is; nothing of it changes when it is resumed, since its files are bound to it."""
        before = self.run
        return {
            "layout": max(before.get("layout", 1), _OPTIONS) if before else _LAYOUT,
            "overrides": before.get("overrides", overrides),
            "config": by_option(config),
            "config_fingerprint": before.get("config_fingerprint", fingerprint(config)),
        }

    def write_run(self, run: dict) -> None:
        """Write ``run.json``."""
        write_json(self.run_file, sealed(run, "") if run["layout"] >= _SEALED else run)


def _read_object(file: Path) -> dict:
    """The JSON object in a file; empty if the file is empty or not there.

    Raises:
        UserError: there is something else.
    """
    data = read_file(file)
    try:
        found = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged: it is not an object")
    return found


def _with_options(run: dict) -> dict:
    """What a ``run.json`` says with its config by options; layout 1 named Python paths."""
    if run.get("layout", 1) >= _OPTIONS:
        return run
    return {**run, "config": by_option(run["config"]), "config_fingerprint": fingerprint(run["config"])}


def _differences(before: dict, provenance: dict) -> list[str]:
    """What of the software and hardware that decide the last bits has changed since a run began."""
    if not before.get("starts"):
        return []
    here, there = flatten(provenance), flatten(before["starts"][-1])
    return [f"{key} {here.get(key)} (before: {there.get(key)})" for key in DECISIVE if here.get(key) != there.get(key)]
