"""From a node of the config to what it names: the function behind ``_target_``, its keys, and the call."""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from effdl.config.options import own_folder
from effdl.config.schema import RUN_KEYS
from effdl.utils.errors import UserError, nearest


def keywords(function: Callable, supplied: int | tuple[str, ...] = 0) -> dict[str, Any]:
    """Annotations of the parameters that are keys of a config, by name.

    Those of a function are its keyword-only parameters, or if it has none all that the run does not give; those of a
    class all that the run does not give.

    Args:
        supplied: what the run gives: so many positional arguments, or those of these names.
    """
    of_class = inspect.isclass(function)
    named = _own_parameters(function, supplied)
    keys = [p.name for p in named if p.kind is p.KEYWORD_ONLY or of_class] or [p.name for p in named]
    annotated = function.__init__ if of_class else function
    try:
        hints = get_type_hints(annotated, include_extras=True) if inspect.isfunction(annotated) else {}
    except NameError:  # a foreign library's names, imported for type checkers only
        hints = {}
    return {key: hints.get(key, inspect.Parameter.empty) for key in keys}


def required(function: Callable, supplied: int | tuple[str, ...] = 0) -> list[str]:
    """Names of the keys without a default."""
    keys = keywords(function, supplied)
    return [p.name for p in _own_parameters(function, supplied) if p.name in keys and p.default is p.empty]


def _own_parameters(function: Callable, supplied: int | tuple[str, ...]) -> list[inspect.Parameter]:
    """The named parameters that the run does not give."""
    parameters = list(inspect.signature(function).parameters.values())
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if isinstance(supplied, tuple):
        return [p for p in named if p.name not in supplied]
    positional = [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD][:supplied]
    return [p for p in named if p.name not in positional]


def locate(target: str) -> Callable:
    """The function or class that a dotted path names.

    Raises:
        UserError: there is none.
    """
    module, _, name = str(target).rpartition(".")
    if not all(part.isidentifier() for part in str(target).split(".")) or not module:
        raise UserError(f"_target_={target}: allowed is the path of a function, such as module.function")
    try:
        found = getattr(imported := importlib.import_module(module), name, None)
    except ImportError as error:
        raise UserError(f"_target_={target}: {error}") from error
    if found is None:
        raise UserError(f"_target_={target}: {module} has no {name}{nearest(name, dir(imported))}")
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


def allow_code_of(config_dir: str | Path) -> None:
    """Let config files name code that lies beside them: ``_target_: module.function`` for ``config_dir/module.py``.

    Raises:
        UserError: as for `own_folder`.
    """
    folder = own_folder(config_dir).resolve()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
