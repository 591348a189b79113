"""Every file operation of a process below a folder, told of before it happens."""

import builtins
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_EVENTS = {f"os.{name}" for name in ("rename", "remove", "mkdir", "rmdir", "truncate", "link", "symlink", "chmod")}
Told = Callable[[str], None]


def watch(folder: Path, told: Told) -> None:
    """Tell of every file operation of this process below a folder, for the rest of its life.

    Python's audit events have all but writes and fsync, which are wrapped. Of a write is told twice: before it, and
    when half of it has reached the file.
    """
    root = str(folder.absolute())

    def inside(path: object) -> bool:
        return isinstance(path, int | str | bytes | os.PathLike) and _full(path).startswith(root)

    def audit(event: str, values: tuple) -> None:
        writing = event == "open" and isinstance(values[2], int) and values[2] & _WRITING
        if (writing or event in _EVENTS) and inside(values[0]):
            told(f"{event.removeprefix('os.')} {_below(values[0], root)}")

    real_open, real_fsync = io.open, os.fsync

    def opened(file, mode="r", *args, **more):
        stream = real_open(file, mode, *args, **more)
        if set(mode) & set("wax+") and inside(stream.fileno()):
            _tell_of_writes(stream, _below(stream.fileno(), root), told)
        return stream

    def fsync(file) -> None:
        number = file if isinstance(file, int) else file.fileno()
        if inside(number):
            told(f"fsync {_below(number, root)}")
        real_fsync(number)

    sys.addaudithook(audit)
    builtins.open = io.open = opened
    tempfile._io = SimpleNamespace(**{**vars(tempfile._io), "open": opened})
    os.fsync = fsync


def _tell_of_writes(stream, name: str, told: Told) -> None:
    """Replace the method that writes to a stream."""
    real = stream.write

    def write(data) -> int:
        told(f"write {name}")
        half = len(data) // 2
        real(data[:half])
        stream.flush()
        told(f"write {name}, half done")
        return half + real(data[half:])

    stream.write = write


def _full(path: int | str | bytes | os.PathLike) -> str:
    """The path of a file, which may be an open one's number."""
    return os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fsdecode(path))


def _below(path: int | str | bytes | os.PathLike, root: str) -> str:
    """A path below the folder, without the random part of a temporary name."""
    return re.sub(r"\.\w{8}\.tmp$", ".tmp", _full(path).removeprefix(root).lstrip("/")) or "."
