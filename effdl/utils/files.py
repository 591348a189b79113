"""Atomic writes: an interruption or a full disk leaves no partial file. Standard library only."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from effdl.utils.errors import RunError, UserError

_TEMPORARY = ".tmp"  # suffix of the name of an incomplete file


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the content of a file atomically; RunError if that fails, in which case the old file is not changed."""
    temporary = None
    try:
        prefix = f".{path.name}."
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=_TEMPORARY, delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: dict) -> None:
    """Replace the content of a file by `value` as JSON; ValueError for NaN and infinity, which JSON does not have."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_file(path: Path) -> bytes:
    """The content of a regular file, empty if there is no file.

    Raises:
        UserError: it cannot be read, or is no regular file: a device or a pipe may have no end.
    """
    try:
        if not path.exists():
            return b""
        if not path.is_file():
            raise UserError(f"cannot read {path}: it is no regular file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file (hex)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep_temporary(folder: Path) -> None:
    """Delete the temporary files that interrupted calls of `write_atomic` left in a folder."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


@contextmanager
def leaving_no_empty(path: Path) -> Iterator[None]:
    """Remove this folder, and those around it that are not there yet, if the ``with`` block fails and they are empty.

    Its lock file (`effdl.utils.locks`) does not count.
    """
    new = list(takewhile(lambda folder: not os.path.lexists(folder), [path.absolute(), *path.absolute().parents]))
    try:
        yield
    except BaseException:
        if new and os.path.lexists(new[0]) and [item.name for item in new[0].iterdir()] in ([], [".lock"]):
            (new[0] / ".lock").unlink(missing_ok=True)
            with suppress(OSError):  # one that holds something else
                for folder in new:
                    folder.rmdir()
        raise


def check_folder(path: Path, what: str) -> None:
    """Make sure that a folder is there or can be made, and that files can be written to it; leaves nothing behind.

    Args:
        what: the key and its value, for the message.

    Raises:
        UserError: it is not, or they cannot.
    """
    path = path.absolute()
    missing = list(takewhile(lambda folder: not os.path.lexists(folder), [path, *path.parents]))
    there = missing[-1].parent if missing else path
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=_TEMPORARY, dir=there) as trial:
            Path(trial, *(folder.name for folder in reversed(missing))).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{what}: {error.strerror} (allowed: a folder that can be written to)") from error
