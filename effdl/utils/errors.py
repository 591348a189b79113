"""The two ways a command ends badly on purpose; both are shown as one message, never as a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user asked for, found before any work: exit code 2.

    The message names the key or file, its value, and what is allowed.
    """


class RunError(Exception):
    """A run that cannot go on (a loss that is not finite, a full disk): status ``failed``, exit code 1."""


class TrialPruned(RunError):
    """A callback stopped a run that falls behind the other trials of its sweep: status ``stopped``."""


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'resnet'?`` if one of the words is close, else nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
