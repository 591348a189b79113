"""Errors of every kind as one message: what it says, the exit code, and whose traceback is shown.

A mistake of the user is a message. An error in the user's own code is shown with its traceback, from the user's file
on. What is left is a bug of effdl, which is shown whole.
"""

import sys
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from effdl.utils.errors import BrokeOff, RunError, UserError, first_line
from effdl.utils.text import one_line, visible

_PACKAGE = Path(__file__).resolve().parents[1]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_READERS = ("hydra", "omegaconf", "yaml", "antlr4")  # libraries whose errors are about what the user wrote
_LAUNCHERS = ("joblib", "submitit")
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Unable to allocate")


def say(text: str) -> None:
    """Print one message to standard error."""
    print(f"effdl: {one_line(text)}", file=sys.stderr)


def tell(error: BaseException) -> int:
    """Print an error; returns the exit code: 2 for what is found before any work, 1 once a run has begun."""
    code = 1 if isinstance(error, RunError) else 2
    cause = error.__cause__ if isinstance(error, BrokeOff) else error
    if isinstance(cause, UserError | RunError):
        say(str(cause))
        return code
    if (own := _from_own_file(cause.__traceback__)) is not None:
        _show(cause, own)
        say(f"{_place(cause, _is_own)}: {_named(cause)}")
        return code
    if (text := _message_of(cause)) is not None:
        say(text)
        return code
    _show(cause, cause.__traceback__)
    say(f"{_named(cause)} (this is a bug of effdl: please report it, with the lines above)")
    return 1


def _message_of(error: BaseException) -> str | None:
    """What to say of an error that is about the user's files, system or config; None for any other."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if "yaml" in libraries:
        return str(error)  # says where, on several lines
    if libraries & set(_READERS):
        return first_line(error)
    if libraries & set(_LAUNCHERS):
        return f"the launcher gave up: {_named(error)}"
    if Path(_last_file(error)).resolve() == _STANDARD_LIBRARY / "logging" / "config.py":  # what Hydra is given
        return f"hydra.job_logging, hydra.hydra_logging: {first_line(error)}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    if isinstance(error, UnicodeError):
        return f"a text in another encoding: {error} ({_place(error, _is_ours)})"
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename if error.filename is not None else f"({_place(error, _is_ours)})"
        return f"{where}: {error.strerror}"
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return f"there is not enough memory: {first_line(error)}"
    if isinstance(error, RecursionError) and not _is_ours(_last_file(error)):
        return f"something is nested too deeply, or refers to itself ({_place(error, _is_ours)})"
    return None


def _named(error: BaseException) -> str:
    """An error with its type."""
    return f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__


def _show(error: BaseException, frames: TracebackType | None) -> None:
    """Print a traceback, of a recursion only its ends."""
    lines = traceback.format_exception(type(error), error, frames, chain=frames is error.__traceback__)
    text = visible("".join(lines if len(lines) < 100 else [*lines[:20], "  ...\n", *lines[-20:]]))
    print(text, file=sys.stderr, end="")


def _from_own_file(frames: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the user's own code, or None."""
    while frames is not None and not _is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_ours(file: str) -> bool:
    """Whether a file is one of this package."""
    return _PACKAGE in Path(file).resolve().parents


def _is_own(file: str) -> bool:
    """Whether a file is the user's: neither this package's, nor an installed library's, nor made up (``<string>``)."""
    parts = Path(file).resolve().parents
    libraries = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return not (file.startswith("<") or _PACKAGE in parts or _STANDARD_LIBRARY in parts or libraries)


def _last_file(error: BaseException) -> str:
    """Where an error was raised."""
    return traceback.extract_tb(error.__traceback__)[-1].filename


def _place(error: BaseException, belongs) -> str:
    """The last place in a traceback whose file belongs to whom it should."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if belongs(frame.filename)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else "unknown"
