"""Hydra's log settings, checked before they are used: Python's `logging` finds its mistakes only as it begins."""

import logging
from typing import Any, Literal

from pydantic import BaseModel

from effdl.utils.errors import UserError, nearest
from effdl.utils.shapes import shaped


class _Logger(BaseModel):
    """A logger, in what `logging.config.dictConfig` reads."""

    level: str | int = 0
    handlers: list[str] = []


class _Settings(BaseModel):
    """What of that dictionary Hydra needs; without a root it leaves logging alone."""

    version: Literal[1]
    root: _Logger | None
    handlers: dict[str, dict[str, Any]] = {}
    formatters: dict[str, dict[str, Any]] = {}
    loggers: dict[str, _Logger] = {}


def check_logging(key: str, settings: Any) -> None:
    """Check what ``hydra.job_logging`` or ``hydra.hydra_logging`` says.

    Raises:
        UserError: it has another shape than `logging.config` takes, or names a handler or a level that is none.
    """
    if settings is None or (found := shaped(settings, _Settings, key)).root is None:
        return
    handlers, levels = list(found.handlers), logging.getLevelNamesMapping()
    for name, logger in {**found.loggers, "root": found.root}.items():
        for handler in logger.handlers:
            if handler not in handlers:
                hint = nearest(handler, handlers)
                raise UserError(f"{key}.{name}.handlers: no handler {handler!r}{hint} (allowed: {', '.join(handlers)})")
        if isinstance(logger.level, str) and logger.level not in levels:
            raise UserError(f"{key}.{name}.level={logger.level}: allowed is one of {', '.join(levels)}")
