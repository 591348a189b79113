"""Losses and heads of self-supervised methods, from the library lightly, which is needed only when one is chosen."""

import importlib
from collections.abc import Callable

from effdl.utils.errors import UserError


def from_lightly(module: str, name: str) -> Callable:
    """A class of lightly's, such as ``from_lightly("loss", "NTXentLoss")``.

    Raises:
        UserError: the library is not installed.
    """
    try:
        return getattr(importlib.import_module(f"lightly.{module}"), name)
    except ImportError as error:
        raise UserError(f"this method of pretraining needs lightly: {error}; pip install 'effdl[ssl]'") from error
