"""Writing so that a kill or a full disk leaves no half-written file. Standard library only."""

import json
import os
import tempfile
from pathlib import Path

from effdl.utils.errors import RunError

TEMPORARY = ".tmp"  # ends the name of a file that is not complete


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one piece; on failure the old file stays and nothing else is left behind."""
    temporary = None
    try:
        prefix = f".{path.name}."
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=TEMPORARY, delete=False) as file:
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
    """Replace `path` by `value` as JSON; NaN and infinity are refused, since JSON has neither."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def append_row(path: Path, row: dict) -> None:
    """Append one row to a ``.jsonl`` file, whole or not at all."""
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
    """Rows of a ``.jsonl`` file; a last row that a kill cut short is left out. A missing file has no rows."""
    rows = []
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            rows.append(json.loads(line))
    return rows


def write_rows(path: Path, rows: list[dict]) -> None:
    """Replace a ``.jsonl`` file by these rows."""
    write_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())


def sweep_temporary(folder: Path) -> None:
    """Delete what a kill in the middle of `write_atomic` left in a folder."""
    for path in folder.glob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)
