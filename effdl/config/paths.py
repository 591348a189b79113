"""The paths in a config: a relative one means the folder where it was typed. No Hydra here."""

import re
from functools import reduce
from pathlib import Path

from effdl.config.schema import TEACHERS

_FILE = re.compile(r"(sqlite:///|file:(?!/))?((?!\w+:).+)")  # a relative path behind a scheme, or any path
_NO_PATHS = {"weights": ("pretrained",), "level": TEACHERS}
_LAYER_FILES = ("amounts", "bits_file")


def located(config: dict, folder: Path) -> dict:
    """A config with absolute paths of models, files of layers and logs, for the relative ones meant in a folder.

    So a run that works elsewhere (``hydra.job.chdir``) or is resumed from elsewhere finds what it was given. The config
    that it records keeps what was typed, of which its identity is made; so does what is not in the folder. A log need
    not be there yet.

    Args:
        folder: where the config was typed.
    """

    def found(node: dict, key: str) -> dict:
        value = node.get(key)
        if not isinstance(value, str) or value in _NO_PATHS.get(key, ()) or not (folder / value).exists():
            return node
        return {**node, key: str((folder / value).absolute())}

    models = {group: found(config[group], "weights") for group in ("model", "teacher") if config.get(group)}
    steps = {}
    for name, node in config["compression"].items():
        keys = (*_LAYER_FILES, *(["level"] if node.get("stage") == "distill" else []))
        steps[name] = reduce(found, keys, node)
    loggers = {name: _with_store(node, folder) for name, node in (config.get("logger") or {}).items()}
    return {**config, **models, "compression": steps, "logger": loggers}


def _with_store(node: dict, folder: Path) -> dict:
    """A logger whose ``uri`` is that of a file or folder; other schemes than ``sqlite`` and ``file`` name servers."""
    uri = node.get("uri")
    if not isinstance(uri, str) or not (found := _FILE.fullmatch(uri)) or not folder.is_dir():
        return node
    return {**node, "uri": f"{found[1] or ''}{(folder / found[2]).absolute()}"}
