"""One owner at a time: a lock on a file, which the kernel releases when its process ends, however that is."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

log = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)  # what file systems without locks answer
_held: set[int] = set()  # open lock files of this process


def _close_in_child() -> None:
    """A forked process (of a data loader) must not hold on to the locks of a parent that is gone."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock on a file, which is created if it is not there and never deleted.

    Gives False if another process holds it, unless `wait` says to wait. On a file system without locks it gives True,
    with a warning.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    _held.add(descriptor)
    try:
        yield _lock(descriptor, file, wait)
    finally:
        if descriptor in _held:  # not in a child
            _held.remove(descriptor)
            if fcntl is not None:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)  # for a child that was just forked, too
            os.close(descriptor)


def _lock(descriptor: int, file: Path, wait: bool) -> bool:
    if fcntl is None:
        log.warning("%s: there are no file locks here: nothing keeps a second process away", file)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: this file system has no locks: nothing keeps a second process away", file)
    return True
