"""The folder of a sweep, besides its runs: what was launched, with which configs, and how each job went.

======================  ==========================================================================
``sweep-ID.json``       a sweep that was launched here: its overrides, and the configs it was frozen with
``.configs/HASH/``      the config files as they were at launch; later changes to them do not reach the sweep
``.jobs/*.jsonl``       one file per launch: a row when a job begins, and one when it ends
``.shared/``            trainings that its runs have in common, see `effdl.runs.shared`
======================  ==========================================================================

A run's folder is named after the run's config, so the same run has the same folder in every sweep that is told to
write here. No torch here.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from effdl.config.overrides import without
from effdl.utils.clock import now
from effdl.utils.errors import UserError
from effdl.utils.files import write_json
from effdl.utils.locks import locked
from effdl.utils.rows import Rows

JOBS_FILE = "EFFDL_SWEEP_JOBS"  # environment variable by which a job knows where to report
SKIPPED = "skipped"
_PLACES = ("resume", "hydra.sweep.dir", "hydra.job.env_set.")  # keys whose overrides do not make it another sweep


def identity(overrides: list[str], config_dir: str | None) -> str:
    """The same 12 hexadecimal digits for the same sweep, wherever it is and whether or not it is resumed."""
    return hashlib.sha256(json.dumps([without(overrides, *_PLACES), config_dir]).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Sweep:
    """A sweep in its folder."""

    path: Path
    name: str  # its identity

    @property
    def record_file(self) -> Path:
        """Where its record is."""
        return self.path / f"sweep-{self.name}.json"

    @property
    def record(self) -> dict:
        """What was launched; empty if nothing was."""
        try:
            return json.loads(self.record_file.read_bytes()) if self.record_file.exists() else {}
        except (ValueError, OSError) as error:
            raise UserError(f"{self.record_file} is damaged: {error}") from error

    def frozen(self) -> list[Path]:
        """The copies of the config folders that the sweep was launched with; empty if it was not."""
        return [Path(folder) for folder in self.record.get("configs", [])]

    def launch(self, overrides: list[str], folders: list[Path]) -> tuple[Path, list[Path]]:
        """Note down a launch; returns the file for its jobs' rows, and copies of the config folders to run from.

        Args:
            folders: the config folders, first the one whose files come first; copies (`frozen`) stay where they are.

        Raises:
            UserError: the folder cannot be written to.
        """
        try:
            (self.path / ".jobs").mkdir(parents=True, exist_ok=True)
            with locked(self.path / ".lock", wait=True):
                copies = folders if folders == self.frozen() else freeze(folders, self.path.absolute() / ".configs")
                starts = [*self.record.get("starts", []), now()]
                write_json(self.record_file, {"overrides": overrides, "configs": [*map(str, copies)], "starts": starts})
        except OSError as error:
            raise UserError(f"hydra.sweep.dir={self.path}: {error.strerror}") from error
        return self.path / ".jobs" / f"{starts[-1].replace(':', '-')}-{os.getpid()}.jsonl", copies


def find(root: Path, name: str) -> Path | None:
    """The folder where a sweep of this identity was last launched, at any depth below `root`."""
    found = [(json.loads(file.read_bytes())["starts"][-1], file.parent) for file in root.rglob(f"sweep-{name}.json")]
    return max(found)[1] if found else None


def freeze(folders: list[Path], target: Path) -> list[Path]:
    """Copy config folders to ``target/HASH/0``, ``1``, ...; the hash is that of their content."""
    files = {
        f"{number}/{file.relative_to(folder)}": file.read_bytes()
        for number, folder in enumerate(folders)
        for file in sorted(file for pattern in ("*.yaml", "*.py") for file in folder.rglob(pattern))
    }
    content = b"".join(f"{name} {len(data)}\n".encode() + data for name, data in files.items())
    frozen = target / hashlib.sha256(content).hexdigest()[:12]
    if not frozen.exists():
        target.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target))
        for name, data in files.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(data)
        temporary.chmod(0o755)
        try:
            temporary.rename(frozen)
        except OSError:  # another launch was faster
            shutil.rmtree(temporary)
    return [frozen / str(number) for number in range(len(folders))]


class JobLog:
    """The rows of one job in the file of its launch."""

    def __init__(self, file: Path, number: int | str, overrides: list[str], folder: Path):
        self.file = file
        self.job = {"job": number, "overrides": overrides, "folder": str(folder)}

    def start(self) -> None:
        """The job has begun."""
        Rows(self.file).append({**self.job, "event": "start", "time": now(), "pid": os.getpid()})

    def end(self, result: dict) -> None:
        """The job is over; `result` is what it returns."""
        Rows(self.file).append({**self.job, "event": "end", "time": now(), **result})


def jobs_of(file: Path) -> list[dict]:
    """The newest row of every job of a launch, in the order in which they began."""
    newest: dict[str, dict] = {}
    for row in Rows(file).read():
        newest[str(row["job"])] = row
    return list(newest.values())
