"""The shipped config files, and what an option of a group names in code. Standard library and YAML only; no Hydra.

An option is a file of a group's folder, such as ``model/resnet.yaml``. Its *code* is what it says about Python: the
keys ``_target_`` and ``_partial_``, at any depth.
"""

from functools import cache
from pathlib import Path

import yaml

from effdl.config.schema import HYDRA_KEYS

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_folder() -> Path:
    """The shipped configs: inside an installed package, beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def option_files(group: str, *folders: Path) -> dict[str, Path]:
    """The files of a group's options by name; those of a later folder replace those of an earlier one."""
    found = {file.stem: file for folder in folders for file in sorted((folder / group).glob("*.yaml"))}
    return dict(sorted(found.items()))


def description(file: Path) -> str:
    """The first comment of a config file that is not a directive."""
    comments = (line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


@cache
def shipped_code(group: str) -> dict[str, dict[str, object]]:
    """The code of every shipped option of a group, with dotted keys: ``{"resnet": {"_target_": ...}, ...}``."""
    return {option: code_of(_content(file)) for option, file in option_files(group, config_folder()).items()}


def code_of(node: dict, prefix: str = "") -> dict[str, object]:
    """What a node says about code, with dotted keys."""
    found: dict[str, object] = {}
    for key, value in node.items():
        if key in HYDRA_KEYS:
            found[prefix + key] = value
        elif isinstance(value, dict):
            found |= code_of(value, f"{prefix}{key}.")
    return found


def _content(file: Path) -> dict:
    """A config file with the files that it takes over by ``defaults: [/base/NAME@_here_]``."""
    content = yaml.load(file.read_bytes(), Loader) or {}
    merged: dict = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry.endswith("@_here_"):
            merged |= _content(config_folder() / f"{entry.removesuffix('@_here_').lstrip('/')}.yaml")
    return merged | content
