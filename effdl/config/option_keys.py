"""What people may set: the keys of an option and of a run, each with its default, what it takes, and what it means.

The default and the meaning, a comment on the key's line, are those of the config file; what the key takes is the
annotation of the function that the option names. No Hydra here.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from effdl.config.annotations import describe, show
from effdl.config.instantiate import keywords, locate
from effdl.config.options import BASE, config_folder, content
from effdl.config.schema import HYDRA_KEYS, LEVELS, SHARED, SUPPLIED, Settings

_COMMENTED = re.compile(r"^ *(\w+):[^#]*?(?: # *(.*))?$", re.M)
_PAPER = re.compile(r'(?:See )?([A-Z][\w,&.\- ]*? (?:19|20)\d\d, "[^"]+")')


class Key(NamedTuple):
    """A key: its name below the option, its default as it is typed, what it takes and what it means, in words."""

    name: str
    default: str
    takes: str
    meaning: str


def knobs() -> list[Key]:
    """The keys of a run that stand by themselves, those that say how much to compress first."""
    file, hints = config_folder() / "train.yaml", get_type_hints(Settings, include_extras=True)
    values, meanings = content(file), _meanings(file)
    names = [*LEVELS, *(name for name in hints if name not in LEVELS)]
    return [Key(name, show(values[name]), _takes(hints[name]), meanings.get(name, "")) for name in names]


def knobs_text() -> str:
    """The keys of `knobs` for ``effdl train --help``: each with its default and meaning, and what it takes."""
    lines = []
    for key in knobs():
        typed = f"{key.name}={key.default}"
        lines += [f"  {typed:<22} {key.meaning or key.takes}", *([f"  {'':<22} ({key.takes})"] if key.meaning else [])]
    return "\n".join(lines)


def knob_of(file: Path) -> str | None:
    """The knob of the method in a file of the group ``compression``."""
    return content(file).get("stage")


def keys_of(group: str, file: Path) -> list[Key]:
    """The keys of an option.

    Raises:
        UserError: its code is not there.
    """
    shared = SHARED.get(group, {})
    hints = keywords(locate(shared)) if isinstance(shared, str) else dict(shared)
    meanings = {}
    for base in re.findall(rf"/({BASE}/\w+)@_here_", file.read_text()):
        meanings |= _meanings(config_folder() / f"{base}.yaml")
    return list(_keys(content(file), hints, meanings | _meanings(file), SUPPLIED.get(group, 0)))


def papers_of(file: Path) -> list[str]:
    """The papers that the code of an option names in its docstrings."""
    node = content(file)
    targets = [part["_target_"] for part in (node, *node.values()) if isinstance(part, dict) and "_target_" in part]
    found = []
    for function in map(locate, reversed(targets)):  # a criterion before the method that uses it
        docs = (inspect.getdoc(function), inspect.getdoc(sys.modules[function.__module__]))
        found += [paper for doc in docs for paper in _PAPER.findall(" ".join((doc or "").split()))]
    return list(dict.fromkeys(found))


def _keys(node: dict, hints: dict, meanings: dict[str, str], supplied: int | tuple[str, ...], prefix: str = ""):
    """The keys of a node and of those inside of it."""
    hints = hints | keywords(locate(node["_target_"]), supplied)
    for name, value in node.items():
        if name in (*HYDRA_KEYS, "stage"):  # which only names what the method makes
            continue
        if isinstance(value, dict) and "_target_" in value:
            yield from _keys(value, {}, meanings, 0, f"{prefix}{name}.")
        else:
            reference = re.search(r"\$\{(\w+)\}", str(value))
            default = f"{reference[1]}=" if reference else show(value)
            takes = _takes(hints.get(name, inspect.Parameter.empty))
            yield Key(prefix + name, default, takes, meanings.get(name, ""))


def _takes(annotation: Any) -> str:
    """What a key takes, without bounds that nobody reaches; empty if its function does not say."""
    known = annotation is not inspect.Parameter.empty
    return re.sub(r" and <= \d{10,}", "", describe(annotation)) if known else ""


def _meanings(file: Path) -> dict[str, str]:
    """The comments on the lines of a config file, by the last part of the key."""
    return {key: comment for key, comment in _COMMENTED.findall(file.read_text()) if comment}
