"""Commands in processes of their own: what each was, how long it took, how it ended, and what it said last."""

import contextlib
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LINES = 6  # of the end of a failed command's output that are kept


class Failed(Exception):
    """A check found a fault; the message says which."""


class Skipped(Exception):
    """A check cannot be made here; the message says why."""


@dataclass
class Shell:
    """Runs the commands of one check in a folder of its own.

    Args:
        device: ``cuda``, or ``cpu`` for a trial without a GPU.
        timeout: seconds that a command may take.
        deadline: when all must have ended, in seconds of the monotonic clock.
        commands: of each command that was run: ``command``, ``code``, ``seconds``, ``last`` (lines of its output) and
            ``warnings``.
    """

    folder: Path
    device: str
    timeout: float
    deadline: float = math.inf
    commands: list[dict] = field(default_factory=list)

    def effdl(self, *arguments: str, code: int = 0, before: tuple[str, ...] = ()) -> str:
        """What ``effdl`` printed, with standard error; `before`: what starts Python, such as torchrun.

        Raises:
            Failed: it ended with another exit code.
            Skipped: it needs a library that is not installed.
        """
        started = before or (sys.executable,)
        text, ended = self.run([*started, "-m", "effdl", *arguments])
        if ended == 2 and "pip install" in text:
            raise Skipped(last_line(text))
        if ended != code:
            raise Failed(f"exit {ended}: {last_line(text)}")
        return text

    def train(self, *overrides: str, run: str = "run", before: tuple[str, ...] = ()) -> Path:
        """The folder of a training on the shell's device."""
        self.effdl(*self.training(overrides, run), before=before)
        return self.folder / run

    def training(self, overrides: tuple[str, ...], run: str = "run") -> list[str]:
        """The arguments of such a training."""
        return ["train", f"device={self.device}", *overrides, f"hydra.run.dir={self.folder / run}"]

    def run(self, command: list[str]) -> tuple[str, int]:
        """Output and exit code of a command.

        Raises:
            Failed: it took too long.
        """
        process, began = self.start(command), time.monotonic()
        try:
            text = process.communicate(timeout=max(0.1, min(self.timeout, self.deadline - began)))[0]
        except subprocess.TimeoutExpired:
            text = self.kill(process)
        self.note(command, process, began, text)
        if process.returncode == -signal.SIGKILL:
            raise Failed(f"stopped after {time.monotonic() - began:.0f} s: {last_line(text)}")
        return text, process.returncode

    def start(self, command: list[str]) -> subprocess.Popen:
        """A command that runs in a process group of its own, in the shell's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def kill(self, process: subprocess.Popen) -> str:
        """Kill a command with all that it started; returns what it had printed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0]

    def note(self, command: list[str], process: subprocess.Popen, began: float, text: str) -> None:
        """Keep how a command ended."""
        shown = shlex.join("python" if word == sys.executable else word for word in command)
        lines = [line for line in text.splitlines() if line.strip()]
        found = {"command": shown.replace(f"{self.folder}/", "").replace(f"{ROOT}/", ""), "code": process.returncode}
        warned = [line.strip() for line in lines if "Warning" in line or "deterministic" in line]
        found |= {"seconds": round(time.monotonic() - began, 1), "last": lines[-_LINES:], "warnings": warned[:3]}
        self.commands.append(found)


def _environment() -> dict[str, str]:
    """This process's, with the repository first on Python's path, two threads and no terminal."""
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    fixed = {"PYTHONPATH": os.pathsep.join([str(ROOT), *paths]), "NO_COLOR": "1", "COLUMNS": "160"}
    return {"OMP_NUM_THREADS": "2", "HYDRA_FULL_ERROR": "1"} | os.environ | fixed


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
