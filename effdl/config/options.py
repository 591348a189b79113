"""The shipped config files, and what an option of a group names in code. Standard library and YAML only; no Hydra.

An option is a file of a group's folder, such as ``model/resnet.yaml``. Its *code* is what it says about Python: the
keys ``_target_`` and ``_partial_``, at any depth. Keys that several options share are in the files of ``base/``.
"""

import re
from functools import cache
from pathlib import Path

import yaml

from effdl.config.own_files import check_own_files
from effdl.config.schema import HYDRA_KEYS
from effdl.utils.errors import UserError

BASE = "base"  # the folder of keys that several options share: files that options take over, none to choose
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_folder() -> Path:
    """The shipped configs: inside an installed package, beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def own_folder(config_dir: str | Path) -> Path:
    """The folder of a user's own configs and code.

    Raises:
        UserError: there is no such folder, a file in it is named like a shipped one, which Hydra would read instead, or
            one is no config.
    """
    folder, shipped = Path(config_dir), config_folder()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder")
    if folder.resolve() == shipped:
        return folder
    names = [file.relative_to(shipped) for file in shipped.rglob("*.yaml")]
    if taken := sorted(name for name in names if (folder / name).exists()):
        raise UserError(f"--config-dir {config_dir}: {taken[0]} has the name of a shipped file; give it another")
    check_own_files(folder)
    return folder


def option_files(group: str, *folders: Path) -> dict[str, Path]:
    """The files of a group's options by name, in alphabetical order."""
    found = {file.stem: file for folder in folders for file in sorted((folder / group).glob("*.yaml"))}
    return dict(sorted(found.items()))


def description(file: Path) -> str:
    """The first comment of a config file that is not a directive."""
    comments = (line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


@cache
def shipped_code(group: str) -> dict[str, dict[str, object]]:
    """The code of every shipped option of a group, with dotted keys: ``{"resnet": {"_target_": ...}, ...}``."""
    return {option: code_of(content(file)) for option, file in option_files(group, config_folder()).items()}


def code_of(node: dict, prefix: str = "") -> dict[str, object]:
    """What a node says about code, with dotted keys."""
    found: dict[str, object] = {}
    for key, value in node.items():
        if key in HYDRA_KEYS:
            found[prefix + key] = value
        elif isinstance(value, dict):
            found |= code_of(value, f"{prefix}{key}.")
    return found


def content(file: Path) -> dict:
    """What a config file says, with the base files that it takes over by ``defaults: [/base/NAME@_here_, _self_]``.

    Keys and their order are those that Hydra composes; base files are always shipped ones.
    """
    own = yaml.load(file.read_bytes(), _Loader) or {}
    found: dict = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, str) and (match := re.fullmatch(rf"/({BASE}/\w+)@_here_", entry)):
            found = _merged(found, content(config_folder() / f"{match[1]}.yaml"))
    return _merged(found, own)


def _merged(node: dict, other: dict) -> dict:
    """A node with another's values in place of its own, at any depth; keys stay where they are."""
    nested = {
        key: _merged(node[key], value)
        for key, value in other.items()
        if isinstance(value, dict) and isinstance(node.get(key), dict)
    }
    return node | other | nested
