"""Those who look on while a run goes on: loggers, and the sweeper that stops hopeless trials."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from effdl.config import instantiate
from effdl.errors import Hopeless

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """What is told of every row of a run, in order; after a resume of the earlier rows too, so that none is missed."""

    def epoch(self, row: dict) -> None:
        """A row of ``epochs.jsonl``. May raise `Hopeless` to stop the run."""

    def stage(self, row: dict) -> None:
        """A row of ``stages.jsonl``."""

    def close(self, status: str) -> None:
        """The run has ended with this status."""


class Watchers:
    """All watchers of a run. One that fails is dropped with a warning: looking on must not harm the run."""

    def __init__(self, watchers: Iterable[Watcher] = ()):
        self.watchers = list(watchers)

    def epoch(self, row: dict) -> None:
        """Tell all of an epoch.

        Raises:
            Hopeless: one of them gave the run up; the others were told all the same.
        """
        self.tell("epoch", row)

    def stage(self, row: dict) -> None:
        """Tell all of a measured stage."""
        self.tell("stage", row)

    def close(self, status: str) -> None:
        """Tell all that the run has ended."""
        self.tell("close", status)

    def tell(self, event: str, value: dict | str) -> None:
        """Call a method of every watcher."""
        hopeless = None
        for watcher in list(self.watchers):
            try:
                getattr(watcher, event)(value)
            except Hopeless as error:
                hopeless = error
            except Exception as error:
                self.watchers.remove(watcher)
                log.warning("%s failed and is no longer told of this run: %r", type(watcher).__name__, error)
                log.info("its traceback", exc_info=True)
        if hopeless:
            raise hopeless


def loggers_of(config: dict, folder: Path) -> list[Watcher]:
    """The loggers that a config chooses; one that cannot start is left out with a warning."""
    loggers = []
    for name, node in config["logger"].items():
        try:
            loggers.append(instantiate(node, folder, config))
        except Exception as error:
            log.warning("logger=%s cannot start: %r", name, error)
            log.info("its traceback", exc_info=True)
    return loggers
