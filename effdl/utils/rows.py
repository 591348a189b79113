"""Rows in ``.jsonl`` files, and the seals by which a change is noticed. Standard library only.

A seal is a checksum of a JSON object and of a key: of the run that a file belongs to. In a file of rows the seal of a
row is the key of the next, so a row that was changed, lost, moved, or taken from another run does not go unnoticed. It
guards against damage and mix-ups, not against forgers, who can compute seals too.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from effdl.utils.errors import RunError, UserError
from effdl.utils.files import read_file, write_atomic

_SEAL = "seal"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)  # once: reports check many rows


def seal(value: dict, key: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a key and of a JSON object, whatever the order of its keys."""
    return hashlib.sha256(f"{key}\n{_ENCODER.encode(value)}".encode()).hexdigest()[:16]


def sealed(value: dict, key: str) -> dict:
    """The object with its seal."""
    value = without_seal(value)
    return {**value, _SEAL: seal(value, key)}


def without_seal(value: dict) -> dict:
    """The object as it was before it was sealed."""
    return {name: item for name, item in value.items() if name != _SEAL}


def holds(value: dict, key: str) -> bool:
    """Whether the seal of an object is the one that its content and the key make."""
    return _fits(value.get(_SEAL), without_seal(value), key)


def _fits(found: object, plain: dict, key: str) -> bool:
    """Whether a seal is that of an object without it."""
    try:
        return found == seal(plain, key)
    except ValueError:  # NaN, which JSON does not have but Python reads
        return False


@dataclass(frozen=True)
class Rows:
    """The rows of a ``.jsonl`` file. `key`: of the first row's seal; None: rows without seals."""

    path: Path
    key: str | None = None

    def read(self) -> list[dict]:
        """All rows without their seals and without an incomplete last one; none if the file does not exist.

        Raises:
            UserError: a row is no JSON object, or its seal does not hold.
        """
        rows, key = [], self.key
        for number, line in enumerate(self._lines(), start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{self.path} is damaged: row {number}: {error}") from error
            if not isinstance(row, dict):
                raise UserError(f"{self.path} is damaged: row {number} is not an object")
            plain = without_seal(row)
            if key is not None:
                if not _fits(row.get(_SEAL), plain, key):
                    raise UserError(
                        f"{self.path}: row {number} was changed, a row before it is missing, or it is of another run"
                    )
                key = row[_SEAL]
            rows.append(plain)
        return rows

    def append(self, row: dict) -> None:
        """Append one row.

        Raises:
            RunError: that fails, in which case the file is not changed.
        """
        if self.key is not None:
            lines = self._lines()
            row = sealed(row, json.loads(lines[-1])[_SEAL] if lines else self.key)
        try:
            with self.path.open("ab", buffering=0) as file:
                _append(file, _line(row))
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def write(self, rows: list[dict]) -> None:
        """Replace the content of the file by these rows.

        Raises:
            RunError: that fails, in which case the file is not changed.
        """
        key, lines = self.key, []
        for row in rows:
            if key is not None:
                row = sealed(row, key)
                key = row[_SEAL]
            lines.append(_line(row))
        write_atomic(self.path, b"".join(lines))

    def _lines(self) -> list[bytes]:
        """The lines that are complete."""
        lines = read_file(self.path).splitlines(keepends=True)
        return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


def _line(row: dict) -> bytes:
    return (json.dumps(row, allow_nan=False) + "\n").encode()


def _append(file, line: bytes) -> None:
    """Append a line whole or not at all."""
    end = file.tell()
    try:
        if file.write(line) != len(line):
            raise OSError(28, "No space left on device")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise
