"""Standard output and error, which may be closed or full: that ends what is shown, and no work."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Stream:
    """A text stream that discards everything after the first write that failed; `lost` is why it did."""

    def __init__(self, stream: TextIO):
        self.stream, self.lost = stream, None

    def write(self, text: str) -> int:
        """Write, as far as anybody reads; what the encoding lacks is shown as an escape."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self._attempt(lambda: self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding)))
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        self._attempt(self.stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def is_full(self) -> bool:
        """Whether something could not be written although somebody wanted it: not that a reader has gone."""
        return self.lost is not None and getattr(self.lost, "errno", None) not in (errno.EPIPE, errno.EBADF, None)

    def _attempt(self, action: Callable[[], object]) -> None:
        if self.lost is not None:
            return
        try:
            action()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self.lost = error
            with suppress(OSError, ValueError):  # what is buffered goes nowhere, or the interpreter's end would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


@contextmanager
def lenient_streams() -> Iterator[Stream]:
    """Let standard output and error be such streams in the ``with`` block; gives that of the output."""
    _open_closed()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams = [Stream(stream or open(os.devnull, "w")) for stream in before]  # noqa: SIM115
    try:
        yield streams[0]
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Open the standard descriptors that are closed (``>&-``): files that are opened later would take their places."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
