"""Type annotations as checks and as words: whether a value fits one, and how to tell people what would."""

import inspect
import json
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError


def conforms(value: Any, annotation: Any) -> bool:
    """Whether a value is of the annotated type and within its range; unannotated parameters take anything."""
    if annotation is inspect.Parameter.empty:
        return True
    try:
        valid = TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError:
        return isinstance(value, list) and conforms(tuple(value), annotation)  # YAML has no tuples
    except PydanticSchemaGenerationError:  # a foreign library's own type: the function will check it
        return True
    return not isinstance(valid, int) or type(valid) is type(value)  # to a Literal, 20.0 and True are 20 and 1


def show(value: Any) -> str:
    """A value as it is typed on the command line."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def describe(annotation: Any) -> str:
    """An annotation in words: ``a whole number >= 1``, ``one of 8, 20, 32``, ``a number >= 0 and < 1, or null``."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return ", or ".join(describe(part) for part in get_args(annotation))
    if origin is Literal:
        return "one of " + ", ".join(str(show(value)) for value in get_args(annotation))
    if origin in (list, tuple):
        return f"a list [...] of which each is {describe(get_args(annotation)[0])}"
    if hasattr(annotation, "__metadata__"):
        descriptions = (getattr(field, "description", None) for field in annotation.__metadata__)
        if words := next(filter(None, descriptions), None):
            return words
        return " ".join([describe(annotation.__origin__), _describe_range(annotation.__metadata__)]).strip()
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(annotation, str(annotation))


def _describe_range(metadata: tuple) -> str:
    """The bounds in an annotation's metadata, in words."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [bound for field in metadata for bound in getattr(field, "metadata", [field])]
    return " and ".join(
        f"{sign} {getattr(bound, name)}" for name, sign in signs.items() for bound in bounds if hasattr(bound, name)
    )
