"""The check of model names that the bridges to other libraries share."""

from collections.abc import Collection
from difflib import get_close_matches

from effdl.utils.errors import UserError


def require_known(name: str, known: Collection[str], library: str) -> None:
    """Raise UserError with the nearest names if ``name`` is not among the ``known`` models of ``library``."""
    if name not in known:
        nearest = ", ".join(get_close_matches(name, known, n=3, cutoff=0.4)) or "none"
        raise UserError(f"model.name={name}: {library} has no such classification model; nearest names: {nearest}")
