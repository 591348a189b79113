"""Taking out of a run's files what says where they were made: host names, processes and absolute paths."""

import re
from typing import Any

_HIDDEN = ("host", "pid", "process_started")
_PATH = re.compile(
    r"""(?:(?<=[\s='"(\[,:])|^)(?:~\w*)?/[\w.~+@%-][^\s'"\])},:]*|(?:(?<=[\s='"(\[,])|^)[A-Za-z]:\\[^\s'"]+"""
)
_PLACEHOLDER = "PATH"


def scrubbed(value: Any) -> Any:
    """A JSON value without the keys in `_HIDDEN`, and with `_PLACEHOLDER` for every absolute path in its strings."""
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items() if key not in _HIDDEN}
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return without_paths(value) if isinstance(value, str) else value


def without_paths(text: str) -> str:
    """A text with `_PLACEHOLDER` for every absolute path, also of a home folder; addresses (https://...) stay."""
    return _PATH.sub(_PLACEHOLDER, text)
