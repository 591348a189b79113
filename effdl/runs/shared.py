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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
from effdl.utils.shapes import Shape, read_shaped

SHARED = ("teacher", "pretraining", "dense")  # stages
log = logging.getLogger(__name__)


class _Note(Shape):
    """Which run carried a training out."""

    run: str  # its folder, relative to that of the notes
    key: str  # of its seals


@dataclass(frozen=True)
class SharedTrainings:
    """What the runs of a sweep have trained.

    Args:
        folder: in that of the sweep, for a lock and a note of each training; it is made when it is needed.
        code: what names the configs and the code with which the sweep was launched.
    """

    folder: Path
    code: Sequence[str] = ()

    @contextmanager
    def training(self, run: RunFolder, config: dict, stage: str, number: int) -> Iterator[None]:
        """Copy a training into a run if another one has finished it; else let the others wait until this run has.

        A run that was cut off in it goes on by itself.

        Args:
            run: under way; its ``run.json`` is there.
            config: of the run.
            number: of the training, which is the next one of this stage.
        """
        own, keys = Checkpoint(run.path, number, run.key), self._keys(run, config)
        name = f"{keys[-1]}-{stage}-{number}"
        note, lock = self.folder / f"{name}.json", self.folder / f"{name}.lock"
        begun = own.newest.exists() or own.previous.exists()
        with ExitStack() as turn:
            if not begun:
                self._wait(lock, turn, stage)
                if copied := self._copied(note, own):
                    turn.close()
                    _take_over(run, own, *copied)
                    yield
                    return
            yield
            if len(set(keys)) == 1 and not (begun and note.exists()):  # else a part of it may be of another machine
                self._tell(note, run, own)

    def _keys(self, run: RunFolder, config: dict) -> list[str]:
        """The key of what a run begins with, for each time that it was started."""
        found = run.run
        return [beginning({**found, **start}, config, self.code) for start in found["starts"]]

    def _wait(self, lock: Path, turn: ExitStack, stage: str) -> None:
        """Wait until no other run is at the same training; without locks there is no waiting."""
        try:
            self.folder.mkdir(exist_ok=True)
            if not turn.enter_context(locked(lock)):
                log.info("%s: waiting for the run that is at the same training", stage)
                turn.enter_context(locked(lock, wait=True))
        except OSError as error:
            log.warning("%s: nobody waits for this training, and it may be repeated: %s", stage, error)

    def _copied(self, note: Path, own: Checkpoint) -> tuple[RunFolder, dict] | None:
        """The run that a note names, one of this sweep, and the state of its training; None: they are not there."""
        try:
            if not note.exists():
                return None
            found = read_shaped(note, _Note)
            source = RunFolder(self.folder / found.run)
            if not source.path.resolve().is_relative_to(self.folder.parent.resolve()):
                raise UserError(f"{source.path} is not in this sweep")
            state = Checkpoint(source.path, own.number, found.key).peek()
            return (source, state) if state and state["finished"] else None
        except (UserError, RunError, LookupError, TypeError, OSError) as error:
            log.warning("%s: %s; it is trained again", note.name, error)
            return None

    def _tell(self, note: Path, run: RunFolder, own: Checkpoint) -> None:
        """Note down which run has carried a training out, if this one has."""
        rows = [row for row in run.epochs.read() if row["fit"] == own.number]
        if not own.newest.exists() or any("trained_in" in row for row in rows):
            return
        try:
            self.folder.mkdir(exist_ok=True)
            write_json(note, _Note(run=os.path.relpath(run.path, self.folder), key=run.key).model_dump())
        except (RunError, OSError) as error:
            log.warning("%s: no other run can copy this training: %s", note.name, error)


def _take_over(run: RunFolder, own: Checkpoint, source: RunFolder, state: dict) -> None:
    """Make the state of another run's training that of a run's own, and copy what was drawn at its end."""
    where = os.path.relpath(source.path, run.path)
    log.info("training %d was carried out in %s, and is copied", own.number, where)
    with suppress(OSError):  # most have none
        shutil.copyfile(source.drawings_file, run.drawings_file)
    own.save({**state, "rows": [{**row, "trained_in": where} for row in state["rows"]]})


def beginning(run: dict, config: dict, code: Sequence[str] = ()) -> str:
    """A digest of all that decides a run's stages before its first compression step, to the last bit.

    Args:
        run: what its ``run.json`` says, with what one of its ``starts`` does.
        config: the same config with its targets.
        code: what names the code of the user's own.
    """
    losses = [name for name, node in steps_on(config) if kind_of(locate(node["_target_"])) == "distillation_loss"]
    apart = tuple(f"compression.{name}." for name in losses)
    kept = {
        key: value
        for key, value in essential(run["config"]).items()
        if key.startswith(apart) or key.split(".")[0] not in (*LEVELS, "compression")
    }
    machine = flatten(run)
    decisive = {key: machine.get(key) for key in DECISIVE}
    models = sorted(model["sha256"] for model in (run.get("models") or {}).values())
    said = [kept, rewind_epoch(config), run["data_fingerprint"], decisive, run.get("versions"), run.get("git"), models]
    return hashlib.sha256(json.dumps([*said, *code]).encode()).hexdigest()[:16]
