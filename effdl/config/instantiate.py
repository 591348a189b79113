"""From a node of the config to what it names: the function behind ``_target_``, its keys, and the call."""

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from effdl.config.schema import RUN_KEYS
from effdl.utils.errors import UserError


def keywords(function: Callable) -> dict[str, Any]:
    """Annotations of a function's keyword-only parameters (of all its named ones if it has no keyword-only ones).

    Of a class, such as another library's, also those of the parameters with a default.
    """
    parameters, of_class = inspect.signature(function).parameters.values(), inspect.isclass(function)
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    own = [p.name for p in named if p.kind is p.KEYWORD_ONLY or (of_class and p.default is not p.empty)]
    keys = own or [p.name for p in named]
    annotated = function.__init__ if of_class else function
    try:
        hints = get_type_hints(annotated, include_extras=True) if inspect.isfunction(annotated) else {}
    except NameError:  # a foreign library's names, imported for type checkers only
        hints = {}
    return {key: hints.get(key, inspect.Parameter.empty) for key in keys}


def required(function: Callable) -> list[str]:
    """Names of the keyword-only parameters without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def locate(target: str) -> Callable:
    """The function or class that a dotted path names.

    Raises:
        UserError: there is none.
    """
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"_target_={target}: {error}") from error
    if not callable(found):
        raise UserError(f"_target_={target} is not a function")
    return found


def instantiate(node: dict, *supplied: Any) -> Any:
    """Call a node's function with what the run supplies and the node's keys; bind the keys only, if ``_partial_``."""
    given = {key: value for key, value in node.items() if key not in RUN_KEYS}
    arguments = {
        key: instantiate(value) if isinstance(value, dict) and "_target_" in value else value
        for key, value in given.items()
    }
    function = partial(locate(node["_target_"]), **arguments)
    return function if node.get("_partial_") else function(*supplied)
