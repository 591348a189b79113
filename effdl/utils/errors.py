"""Errors that a command reports as a single message, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's request, found before any work: exit code 2.

    The message has the key or file, its value, and what is allowed.
    """


class RunError(Exception):
    """A run that cannot continue (a loss that is not finite, a full disk): status ``failed``, exit code 1."""


class TrialPruned(RunError):
    """A callback stopped a run that falls behind the other trials of its sweep: status ``stopped``."""


class BrokeOff(RunError):
    """A run was ended by an error that is none of these: its cause."""


def nearest(word: str, words: Iterable[str]) -> str:
    """The suggestion ``; did you mean 'resnet'?`` if one of the words is similar, else an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none; OmegaConf's errors begin with their key."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    key = getattr(error, "full_key", None)
    return f"{key}: {line}" if key and key not in line else line
