"""Trainings with which several runs of a sweep begin: one run carries them out, the others copy them.

The stages before the first compression step (`SHARED`) do not depend on the steps. A run that would train what another
one of its sweep has trained takes over that training's last checkpoint, as if it had been resumed: so its weights are
bit for bit those that it would have had. The rows of the copied epochs, costs included, say in which run they were
(``trained_in``).
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from effdl.compression.method import kind_of
from effdl.compression.pipeline import rewind_epoch, steps_on
from effdl.config.identity import essential, flatten
from effdl.config.instantiate import locate
from effdl.config.schema import LEVELS
from effdl.runs.folder import DECISIVE, RunFolder
from effdl.training.checkpoint import Checkpoint
from effdl.utils.errors import RunError, UserError
from effdl.utils.files import write_json
from effdl.utils.locks import locked

SHARED = ("teacher", "pretraining", "dense")  # stages
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedTrainings:
    """What the runs of a sweep have trained.

    Args:
        folder: for a lock and a note of each training; it is made when it is needed.
    """

    folder: Path

    @contextmanager
    def training(self, run: RunFolder, config: dict, number: int) -> Iterator[None]:
        """Copy a training into a run if another one has finished it; else let the others wait until this run has.

        A run that was cut off in it goes on by itself.

        Args:
            run: under way; its ``run.json`` is there.
            config: of the run.
            number: of the training.
        """
        own = Checkpoint(run.path, number, run.key)
        begun = own.newest.exists() or own.previous.exists()
        self.folder.mkdir(exist_ok=True)
        name = f"{beginning(run.run, config)}-{number}"
        with locked(self.folder / f"{name}.lock", wait=True):
            if not (copied := not begun and self._copy(self.folder / f"{name}.json", run, own)):
                yield
                if own.newest.exists():
                    where = os.path.relpath(run.path, self.folder)
                    write_json(self.folder / f"{name}.json", {"run": where, "key": run.key})
        if copied:
            yield

    def _copy(self, note: Path, run: RunFolder, own: Checkpoint) -> bool:
        """Copy the training that a note names; whether it was there."""
        try:
            found = json.loads(note.read_bytes()) if note.exists() else {}
            source = RunFolder(self.folder / found["run"]) if found else None
            state = Checkpoint(source.path, own.number, found["key"]).load() if source else None
        except (UserError, RunError, ValueError, LookupError, OSError) as error:
            log.warning("%s: %s: what it names is trained again", note.name, error)
            return False
        if not state or not state["finished"]:
            return False
        where = os.path.relpath(source.path, run.path)
        log.info("training %d was carried out in %s, and is copied", own.number, where)
        own.save({**state, "rows": [{"trained_in": where, **row} for row in state["rows"]]})
        if source.drawings_file.exists():
            shutil.copyfile(source.drawings_file, run.drawings_file)
        return True


def beginning(run: dict, config: dict) -> str:
    """A digest of all that decides a run's stages before its first compression step, to the last bit.

    Args:
        run: what its ``run.json`` says.
        config: the same config with its targets.
    """
    losses = [name for name, node in steps_on(config) if kind_of(locate(node["_target_"])) == "distillation_loss"]
    apart = tuple(f"compression.{name}." for name in losses)
    kept = {
        key: value
        for key, value in essential(run["config"]).items()
        if key.startswith(apart) or key.split(".")[0] not in (*LEVELS, "compression")
    }
    machine = flatten(run["starts"][-1])
    decisive = {key: machine.get(key) for key in DECISIVE}
    models = sorted(model["sha256"] for model in (run.get("models") or {}).values())
    said = [kept, rewind_epoch(config), run["data_fingerprint"], decisive, models]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
