"""Files that somebody may have damaged, read as what they should hold: a shape that pydantic knows."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator

from effdl.utils.errors import UserError, nearest
from effdl.utils.files import read_file
from effdl.utils.text import one_line

_LONGEST = 60  # characters of a value in a message


class Shape(BaseModel):
    """A mapping with the keys of a subclass and no others."""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if isinstance(value, dict) and (wrong := next((key for key in value if key not in known), None)) is not None:
            raise ValueError(f"{wrong} is not a key{nearest(str(wrong), known)} (allowed: {', '.join(known)})")
        return value


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong in a value: ``[0].tolerance=-1: Input should be greater than 0``."""
    first = error.errors(include_url=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    if first["type"] == "value_error":  # of `Shape`
        return f"{path}: {first['ctx']['error']}"
    text = one_line(repr(first["input"]))
    value = f"={text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"
    said = re.sub(" or instance of \\w+", "", first["msg"]).replace("Input should be", "must be")
    return f"{path}{'' if first['type'] in ('missing', 'json_invalid') else value}: {said}"


def shaped(value: Any, shape: Any, where: str) -> Any:
    """A plain value as a shape, without any conversion of types.

    Args:
        where: the file and the key, which begin the message.

    Raises:
        UserError: it has another shape.
    """
    try:
        return _adapter(shape).validate_python(value, strict=True)
    except ValidationError as error:
        text = _explain(error)
        raise UserError(where + (text.lstrip(".: ") if where.endswith(": ") else text)) from error


def read_shaped(path: Path, shape: Any) -> Any:
    """The content of a JSON file as a shape.

    Raises:
        UserError: the file cannot be read or has another shape.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
    try:
        return _parsed(read_file(path), shape)
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {_explain(error).lstrip('.: ')}") from error


def read_shaped_rows(path: Path, shape: Any) -> list[Any]:
    """The rows of a ``.jsonl`` file as a shape, without an incomplete last one; none if the file does not exist.

    Raises:
        UserError: the file cannot be read, or a row has another shape.
    """
    lines = read_file(path).splitlines(keepends=True)
    return [
        _row(line, shape, f"{path} is damaged: line {n}") for n, line in enumerate(lines, 1) if line.endswith(b"\n")
    ]


def _row(line: bytes, shape: Any, where: str) -> Any:
    """One row of a file."""
    try:
        return _parsed(line, shape)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error).lstrip('.: ')} (delete it)") from error


def _parsed(data: bytes, shape: Any) -> Any:
    """JSON as a shape."""
    return _adapter(shape).validate_json(data, strict=True)


@cache
def _adapter(shape: Any) -> TypeAdapter:
    """What checks a shape; to build it takes longer than to use it."""
    return TypeAdapter(shape)
