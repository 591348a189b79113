"""Logging of the package: all messages to the run folder, warnings also to the terminal."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from effdl.utils.errors import RunError


class _Notes(logging.Handler):
    """A handler that passes warnings without tracebacks to `show`."""

    def __init__(self, show: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self.show = show

    def emit(self, record: logging.LogRecord) -> None:
        if not record.exc_info:
            self.show(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def logging_to(path: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Log to a file in the ``with`` block, including Python warnings of libraries, and show the warnings of effdl.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        file = logging.FileHandler(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    file.handleError = lambda record: None  # a full disk is reported when results are written
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers = [("effdl", file), ("effdl", _Notes(show)), ("py.warnings", file)]
    logging.getLogger("effdl").setLevel(logging.INFO)
    logging.getLogger("effdl").propagate = False  # Hydra's own handler would print all of it
    logging.captureWarnings(True)
    for name, handler in handlers:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name, handler in handlers:
            logging.getLogger(name).removeHandler(handler)
        logging.getLogger("effdl").propagate = True
        logging.captureWarnings(False)
        with suppress(OSError):  # as above
            file.close()
