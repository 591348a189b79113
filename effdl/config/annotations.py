"""Type annotations as checks and as words: whether a value fits one, and how to tell people what would."""

import inspect
import json
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError


def conforms(value: Any, annotation: Any) -> bool:
    """Whether a value is of the annotated type and within its range; unannotated parameters take anything."""
    return annotation is inspect.Parameter.empty or checker(annotation)(value)


def checker(annotation: Any) -> Callable[[Any], bool]:
    """The check of `conforms`, made once for many values."""
    try:
        validate = TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python
    except PydanticSchemaGenerationError:  # a foreign library's own type: the function will check it
        return lambda _: True

    def check(value: Any) -> bool:
        try:
            valid = validate(value)
        except ValidationError:
            return isinstance(value, list) and check(tuple(value))  # YAML has no tuples
        return not isinstance(valid, int) or type(valid) is type(value)  # to a Literal, 20.0 and True are 20 and 1

    return check


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


def choices(annotation: Any) -> list[str]:
    """The values that an annotation allows, as they are typed; of numbers those of a range of at most 16."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [value for part in get_args(annotation) for value in choices(part)]
    if get_origin(annotation) is Literal:
        return [str(show(value)) for value in get_args(annotation)]
    if annotation in (bool, None, type(None)):
        return ["true", "false"] if annotation is bool else ["null"]
    if hasattr(annotation, "__metadata__") and annotation.__origin__ is not int:
        return choices(annotation.__origin__)
    if getattr(annotation, "__origin__", None) is int:
        bounds = [bound for field in annotation.__metadata__ for bound in getattr(field, "metadata", [field])]
        low = next((bound.ge for bound in bounds if hasattr(bound, "ge")), None)
        high = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
        if low is not None and high is not None and high - low < 16:
            return [str(number) for number in range(low, high + 1)]
    return []


def _describe_range(metadata: tuple) -> str:
    """The bounds in an annotation's metadata, in words."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "max_length": "with a length <="}
    bounds = [bound for field in metadata for bound in getattr(field, "metadata", [field])]
    return " and ".join(
        f"{sign} {getattr(bound, name)}" for name, sign in signs.items() for bound in bounds if hasattr(bound, name)
    )
