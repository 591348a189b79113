"""Atomic writes: an interruption or a full disk leaves no partial file. Standard library only."""

import json
import os
import tempfile
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


def append_row(path: Path, row: dict) -> None:
    """Append one row to a ``.jsonl`` file; RunError if that fails, in which case the file is not changed."""
    try:
        with path.open("ab", buffering=0) as file:
            end = file.tell()
            line = (json.dumps(row, allow_nan=False) + "\n").encode()
            try:
                if file.write(line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def read_rows(path: Path) -> list[dict]:
    """The rows of a ``.jsonl`` file without an incomplete last one; none if the file does not exist."""
    rows = []
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            rows.append(json.loads(line))
    return rows


def write_rows(path: Path, rows: list[dict]) -> None:
    """Replace the content of a ``.jsonl`` file by these rows."""
    write_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def sweep_temporary(folder: Path) -> None:
    """Delete the temporary files that interrupted calls of `write_atomic` left in a folder."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


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
