"""Loggers of other tools, one per file: callbacks that are told of every row of a run, in order.

The step of an epoch is its number over all trainings of the run; a stage's row has the step of its last epoch.
After a resume the earlier rows are told again, so a logger must not record them twice.
"""

import logging
from pathlib import Path

from effdl.config.instantiate import instantiate

log = logging.getLogger(__name__)


def loggers_of(config: dict, folder: Path) -> list[object]:
    """The loggers that a config chooses; one that cannot start is left out with a warning."""
    loggers = []
    for name, node in config["logger"].items():
        try:
            loggers.append(instantiate(node, folder, config))
        except Exception as error:
            log.warning("logger=%s cannot start: %r", name, error)
            log.info("its traceback", exc_info=True)
    return loggers
