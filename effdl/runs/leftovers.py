"""What runs leave behind that nobody needs any more: found, and deleted. No torch here.

Checkpoints of finished runs, the folders of failed runs, and folders of runs that never began. An unfinished run, one
that a process is at (its ``.lock`` is held), and a folder with files that are not of a run are left alone.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from effdl.runs.folder import DONE, FAILED, RunFolder
from effdl.utils.errors import UserError
from effdl.utils.locks import locked

_CHECKPOINT = re.compile(r"checkpoint\.\d+(\.previous)?\.pt")
_BEGINNING = re.compile(r"\.lock|train\.log|\.hydra/\w+\.yaml")  # files of a run that has not begun
_OF_A_RUN = re.compile(
    rf"{_BEGINNING.pattern}|{_CHECKPOINT.pattern}|run\.json|result\.json|(epochs|stages|layers)\.jsonl"
    r"|model\.safetensors|(curves|reconstructions)\.png|\..*\.tmp|tensorboard/events\.out\.tfevents\..*"
)
_NAMED_BY_TIME = re.compile(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d(-\d+)?")
_NAMED_BY_CONFIG = re.compile(r".*-seed\d+-[0-9a-f]{8}")  # see `effdl.config.naming`


@dataclass(frozen=True)
class _Leftover:
    """Files of one run folder that may go. `whole`: the folder goes with them."""

    folder: Path
    what: str
    files: tuple[Path, ...]
    whole: bool

    @property
    def size_bytes(self) -> int:
        """How long the files are in all."""
        return sum(file.lstat().st_size for file in self.files if os.path.lexists(file))


def leftovers(root: Path) -> Iterator[_Leftover]:
    """Those in a folder and at any depth below it, in the order of their paths; links are not followed."""
    for path, folders, _ in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (found := _leftover(Path(path))) and not _is_held(found.folder):
            yield found


def delete(found: _Leftover) -> int | None:
    """Delete what was found; returns how many bytes were freed, None if the run has gone on and is left alone.

    Raises:
        OSError: a file cannot be deleted.
    """
    lock = found.folder / ".lock"
    before = lock.exists()
    with locked(lock) as mine:
        if not before:
            lock.unlink(missing_ok=True)
        if not mine or _leftover(found.folder) != found:
            return None
        freed = found.size_bytes
        for file in found.files:
            file.unlink(missing_ok=True)
        if found.whole:
            _remove_empty(found.folder)
    return freed


def _leftover(folder: Path) -> _Leftover | None:
    """What of one folder may go."""
    if not (folder / "run.json").exists():
        return _never_begun(folder)
    try:
        status = RunFolder(folder).run.get("status")
    except UserError:  # damaged, or another program's
        return None
    if status == DONE:
        files = [
            file for file in sorted(folder.iterdir()) if _CHECKPOINT.fullmatch(file.name) and not file.is_symlink()
        ]
        return _Leftover(folder, "checkpoints of a finished run", tuple(files), False) if files else None
    files = _all_files(folder, _OF_A_RUN) if status == FAILED else None
    return _Leftover(folder, "a failed run", files, True) if files else None


def _never_begun(folder: Path) -> _Leftover | None:
    """A folder without a run, if it is one that was made for a run."""
    files = _all_files(folder, _BEGINNING)
    named = _is_named_by_time(folder) or _NAMED_BY_CONFIG.fullmatch(folder.name)
    if files is None or not (named or any(file.parent.name == ".hydra" for file in files)):
        return None
    return _Leftover(folder, "an empty run folder", files, True)


def _is_named_by_time(folder: Path) -> bool:
    return bool(_NAMED_BY_TIME.fullmatch("/".join(folder.absolute().parts[-2:])))


def _all_files(folder: Path, allowed: re.Pattern) -> tuple[Path, ...] | None:
    """All files of a folder at any depth, its lock last; None if one is not of these names, or there is a link."""
    found = []
    for path, folders, names in os.walk(folder):
        paths = [Path(path, name) for name in sorted(names)]
        links = any(Path(path, name).is_symlink() for name in [*folders, *names])
        if links or not all(allowed.fullmatch(file.relative_to(folder).as_posix()) for file in paths):
            return None
        found += paths
    return tuple(sorted(found, key=lambda file: (file.name == ".lock", file)))


def _is_held(folder: Path) -> bool:
    """Whether a process is at a run; looking leaves no lock file behind."""
    if not (folder / ".lock").exists():
        return False
    try:
        with locked(folder / ".lock") as mine:
            return not mine
    except OSError:  # another's
        return True


def _remove_empty(folder: Path) -> None:
    """Remove a folder without files, and the folder of its day if it was the last there."""
    for path, _, _ in os.walk(folder, topdown=False):
        os.rmdir(path)
    if _is_named_by_time(folder) and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
