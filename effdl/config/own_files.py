"""A user's own config files, checked before Hydra reads them, each a small mapping that does not lead to itself.

Hydra reports what is wrong with the values; of a file that is no config it says little, and one whose aliases or
defaults multiply would take all memory or time.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from effdl.config.schema import GROUPS
from effdl.utils.errors import UserError, first_line

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST = 1 << 20  # bytes of a file
_LARGEST = 20_000  # values of a file, with those that its aliases repeat; 100 characters count as one, too
_DEEPEST = 30  # of values inside of values
_FOLDERS = (*GROUPS, "base", "experiment", "hydra", "teacher")
_PRIMARY = "train"  # the shipped config that takes over all others


def check_own_files(folder: Path) -> None:
    """Check the config files in a folder and in those of its groups.

    Raises:
        UserError: names the first file that is no config.
    """
    groups = (path for name in _FOLDERS for path in (folder / name).rglob("*.yaml"))
    files = {
        file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted([*folder.glob("*.yaml"), *groups])
    }
    taken_over = {name: set(_taken_over(name, _content(file))) for name, file in files.items()}
    for name, file in files.items():
        if circle := _circle(name, taken_over):
            raise UserError(f"{file}: its defaults lead back to itself ({' > '.join(circle)})")


def _content(file: Path) -> dict:
    """What a file says; an empty one is a mapping without keys.

    Raises:
        UserError: it is not UTF-8, not YAML, not a mapping, or too large.
    """
    if not file.is_file():
        raise UserError(f"{file} is not a file that can be read")
    try:
        with file.open("rb") as stream:
            data = stream.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise UserError(f"{file} is too large for a config: allowed are {_LONGEST:,} bytes")
        text = data.decode()
        _check_size(yaml.parse(text, _LOADER))
        content = yaml.load(text, _LOADER)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start} is {data[error.start]:#04x})") from error
    except (yaml.YAMLError, ValueError, TypeError, ArithmeticError) as error:
        raise UserError(f"{file} is not a config in YAML: {_reason(error)}") from error
    if content is not None and not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}: allowed are lines of KEY: VALUE")
    return content or {}


def _check_size(events: Iterable[yaml.Event]) -> None:
    """Count the values that a file stands for, without making them.

    Raises:
        ValueError: they are too many or too deep, an alias is inside of what it repeats, or there are two documents.
    """
    sizes: dict[str | None, int] = {}  # of what an alias repeats, by its anchor
    inside: list[tuple[str | None, int]] = [(None, 0)]  # open collections, each with the values so far
    documents = 0
    for event in events:
        documents += isinstance(event, yaml.DocumentStartEvent)
        if inside[-1][1] > _LARGEST or len(inside) > _DEEPEST or documents > 1:
            raise ValueError(f"allowed is one document of {_LARGEST:,} values, with those that aliases repeat")
        if isinstance(event, yaml.CollectionStartEvent):
            sizes.pop(event.anchor, None)  # what is inside cannot repeat it
            inside.append((event.anchor, 1))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = inside.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} repeats nothing, or what it is in")
            anchor, size = None, sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1 + len(event.value) // 100
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, total = inside[-1]
        inside[-1] = outer, total + size


def _reason(error: Exception) -> str:
    """What is wrong, and in which line."""
    mark = getattr(error, "problem_mark", None)
    return f"{error.problem} in line {mark.line + 1}" if mark else first_line(error)


def _taken_over(name: str, content: dict) -> Iterator[str]:
    """The files that a file's defaults take over, by their names below the folder of configs."""
    defaults = content.get("defaults")
    for entry in defaults if isinstance(defaults, list) else []:
        if isinstance(entry, str):
            yield _path(name, "", entry)
        elif isinstance(entry, dict):
            for group, options in entry.items():
                words = str(group).split() or [""]
                if "override" not in words[:-1]:  # an override chooses for a file that others take over
                    for option in options if isinstance(options, list) else [options]:
                        yield _path(name, words[-1], option)


def _path(name: str, group: str, option: Any) -> str:
    """The file that ``group: option`` names in the defaults of another."""
    parts = (part.partition("@")[0].removesuffix(".yaml") for part in (group, str(option)))
    return str(PurePosixPath("/", name).parent.joinpath(*parts)).lstrip("/")


def _circle(start: str, taken_over: dict[str, set[str]]) -> list[str]:
    """The way from a file back to itself, or to the config that takes over all; empty if there is none."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop()
        for name in sorted(taken_over.get(way[-1], ())):
            if name in (start, _PRIMARY):
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
