"""A function run in a process of its own, forked from this one, and what was seen of it from outside.

Forking saves the seconds that the imports take. The process that forks must have no threads: one of PyTorch, and no
backward pass before.
"""

import contextlib
import ctypes
import faulthandler
import itertools
import json
import math
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RAISED = 99  # exit code of a function that raised
_numbers = itertools.count()
ROOM_BYTES = 8 << 30  # address space above that of this process: protects the machine
Note = Callable[[Any], None]  # notes down something for the one who observes
Act = Callable[[Note], int]  # returns an exit code


@dataclass(frozen=True)
class Observed:
    """How a process ended.

    Attributes:
        code: exit code; None if a signal ended it.
        peak_bytes: the peak of its resident memory above what it began with.
        notes: what it noted down.
    """

    code: int | None
    signal: int | None
    timed_out: bool
    seconds: float
    peak_bytes: int
    output: str = ""
    error: str = ""
    notes: list = field(default_factory=list)

    @property
    def raised(self) -> bool:
        """Whether an exception left the function."""
        return self.code == RAISED

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.output + self.error


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder to work in; home and temporary folders are beside it, and all is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="attack.", ignore_cleanup_errors=True) as root:
        for name in ("work", "home", "tmp"):
            Path(root, name).mkdir()
        yield Path(root, "work")


class Child:
    """A running process; `wait` observes it."""

    def __init__(self, act: Act, place: Path, *, cpu_s: float, powerless: bool = False):
        self.root, self.began, number = place.parent, time.monotonic(), next(_numbers)
        self.files = {name: self.root / f"{number}.{name}" for name in ("out", "err", "notes", "peak")}
        self.before = _resident_bytes()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(act, place, cpu_s, powerless)

    def _become(self, act: Act, place: Path, cpu_s: float, powerless: bool) -> None:
        """Run the function in the child, which never returns from here."""
        code = RAISED
        try:
            self._enter(place, cpu_s, powerless)
            began = _status_bytes("RssAnon")
            code = act(self._note) or 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else (2 if stop.code else 0)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
                # Pages of libraries are mapped, not used: a forked process maps them anew, one by one.
                peak = _status_bytes("VmHWM") - _status_bytes("RssFile") - began
                self.files["peak"].write_text(str(max(0, peak)))
            os._exit(code & 255)

    def _enter(self, place: Path, cpu_s: float, powerless: bool) -> None:
        """Leave everything that belongs to the parent alone: its group, folder, outputs and temporary files."""
        os.setsid()
        faulthandler.disable()  # pytest has it write to the parent's error output
        os.chdir(place)
        for number, file in ((1, self.files["out"]), (2, self.files["err"])):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        home = str(self.root / "home")
        os.environ |= {"HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": str(self.root / "tmp"), "NO_COLOR": "1"}
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_s), math.ceil(cpu_s) + 1))
        room = _virtual_bytes() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        self.files["notes"].touch()
        if powerless:
            _drop_capabilities()

    def _note(self, value: Any) -> None:
        with self.files["notes"].open("a") as file:
            file.write(json.dumps(value, default=str) + "\n")

    def wait(self, limit_s: float) -> Observed:
        """Wait until it has ended, at most until `limit_s` after its start; then it is killed, with its children."""
        ended = os.pidfd_open(self.pid)
        left = max(0.0, self.began + limit_s - time.monotonic())
        timed_out = not select.select([ended], [], [], left)[0]
        seconds = time.monotonic() - self.began
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # its children too, if it has left any
        os.close(ended)
        _, status, used = os.wait4(self.pid, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        return Observed(
            code=None if killed is not None else os.WEXITSTATUS(status),
            signal=killed,
            timed_out=timed_out or killed == signal.SIGXCPU,
            seconds=seconds,
            peak_bytes=int(
                _text(self.files["peak"]) or max(0, used.ru_maxrss * 1024 - self.before)
            ),  # if it was killed
            output=_text(self.files["out"]),
            error=_text(self.files["err"]),
            notes=[json.loads(line) for line in _text(self.files["notes"]).splitlines()],
        )


def observe(act: Act, place: Path, *, cpu_s: float = 30, limit_s: float = 600, powerless: bool = False) -> Observed:
    """Run a function in a process of its own, in a folder of `workplace`, and see how it ends.

    Args:
        cpu_s: limit of processor time, which means the same on a busy machine.
        limit_s: limit of time, for those who wait and do nothing.
        powerless: even root reads no file that its owner may not read.
    """
    return Child(act, place, cpu_s=cpu_s, powerless=powerless).wait(limit_s)


def _drop_capabilities() -> None:
    """Take the power of root from this process, which stays the owner of its files."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the version of the call, and this process
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="replace") if file.exists() else ""


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _status_bytes(key: str) -> int:
    """What the kernel says of the memory of this process (proc(5), /proc/pid/status)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
