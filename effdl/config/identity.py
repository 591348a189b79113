"""When two configs are the same experiment, and how files name what a config chooses: by options, not by Python paths.

In files (``run.json``, the description in a stored model) a node says ``option: resnet`` and its keys. What a shipped
option's file says about code is left out and read from that file again, so modules may move and no run is orphaned.
Code from elsewhere keeps its ``_target_`` beside the ``option``.
"""

import hashlib
import json
from functools import cache

from effdl.config.options import code_of, shipped_code
from effdl.config.schema import HYDRA_KEYS
from effdl.utils.errors import UserError

# Keys that change neither the data nor the arithmetic: two runs that differ only here are the same experiment.
INCIDENTAL = ("resume", "dataset.root", "dataset.download", "logger", "metric", "energy.price_per_hour")
_WITHIN_INCIDENTAL = tuple(f"{name}." for name in INCIDENTAL)  # a report asks for hundreds of keys of every run
# Keys that came later, with the value for what effdl did before: with it they are as if they were not there.
ADDED = {
    "compression.lsq.bits_file": None,
    "compression.xnor.activations": False,
    "dataset.labelled": None,
    "dataset.unlabelled": False,
    "model.activation": "relu",
    "model.blocks": None,
    "model.widths": None,
    "teacher.blocks": None,
    "teacher.widths": None,
    "l1": 0.0,
    "trainable": "all",
    "unfreeze": None,
    "cached_views": None,
    "optimizer.layer_decay": None,
    "model.normalization": None,
    "teacher.normalization": None,
    "pretraining": {},
    "pretraining.views.count": 2,
    "pretraining.views.size": None,
    "device.runtime": "eager",
}
SINGLE = {
    "dataset": "dataset",
    "model": "model",
    "teacher": "model",
    "optimizer": "optimizer",
    "scheduler": "scheduler",
    "pretraining": "pretraining",
}
LISTS = ("augment", "compression", "logger", "metric")  # groups whose members have names of their own


def by_option(config: dict) -> dict:
    """A config as files hold it. Configs of earlier layouts, which hold Python paths, are understood too."""
    return _converted(config, node_by_option)


def by_target(config: dict) -> dict:
    """The config of a file with its code again: the inverse of `by_option`.

    Raises:
        UserError: an option that is not there.
    """
    return _converted(config, node_by_target)


def node_by_option(group: str, node: dict) -> dict:
    """One node as files hold it."""
    code = code_of(node)
    if "_target_" not in code:
        return node
    if (option := _shipped_option(group, code)) is None:
        own = {key: value for key, value in node.items() if key != "option"}
        return {"option": str(code["_target_"]).rpartition(".")[2], **own}
    return {"option": option, **_without_code(node)}


def node_by_target(group: str, node: dict) -> dict:
    """One node of a file with its code.

    Raises:
        UserError: an option that is not there.
    """
    node = node_by_option(group, node)  # of an earlier layout
    if "option" not in node:
        return node
    keys = {key: value for key, value in node.items() if key != "option"}
    if "_target_" in keys:
        return keys
    if node["option"] not in list(shipped := shipped_code(group)):
        raise UserError(f"{group}={node['option']} is no option of this version (allowed: {', '.join(shipped)})")
    return _with_code(keys, shipped[node["option"]])


def is_shipped(group: str, node: dict) -> bool:
    """Whether a node names nothing but code of this package that a shipped option names."""
    code = code_of(node)
    return _shipped_option(group, code) is not None if code else "option" in node


def foreign_code(config: dict) -> str | None:
    """The first thing in a config with targets that names other code than shipped options do; None if there is none."""
    nodes = [(key, group, config[key]) for key, group in SINGLE.items() if config.get(key)]
    for group in LISTS:
        if isinstance(config.get(group), dict):
            nodes += [(f"{group}.{name}", group, node) for name, node in config[group].items()]
    for key, group, node in nodes:
        if not isinstance(node, dict) or not is_shipped(group, node):
            code = code_of(node) if isinstance(node, dict) else {}
            targets = [str(value) for name, value in code.items() if name.endswith("_target_")]
            return f"{key}={', '.join(targets) or node}"
    return None


def flatten(config: dict, prefix: str = "") -> dict[str, object]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def essential(config: dict) -> dict[str, object]:
    """The flattened config by options, without its incidental keys, nor those that came later and change nothing."""
    flat = flatten(by_option(config)).items()
    return {key: value for key, value in flat if not _is_incidental(key) and (key, value) not in ADDED.items()}


def fingerprint(config: dict) -> str:
    """SHA-256 of the essential config: equal for two runs of the same experiment. Order counts (steps are a list)."""
    return hashlib.sha256(json.dumps(essential(config)).encode()).hexdigest()


def add_later_keys(config: dict) -> None:
    """Give a config of an earlier version the groups, top-level keys and keys of the device that came later; in place.

    Other nodes need none: a function has a default for a key that came later.
    """
    for group in ("metric", "teacher"):
        config.setdefault(group, {})
    for key, value in ADDED.items():
        group, _, name = key.rpartition(".")
        if group in ("", "device"):
            (config[group] if group else config).setdefault(name, value)


@cache
def _is_incidental(key: str) -> bool:
    return f"{key}.".startswith(_WITHIN_INCIDENTAL)


def _converted(config: dict, convert) -> dict:
    found = dict(config)
    for key, group in SINGLE.items():
        if isinstance(found.get(key), dict):
            found[key] = convert(group, found[key])
    for group in LISTS:
        if isinstance(found.get(group), dict):
            found[group] = {
                name: convert(group, node) if isinstance(node, dict) else node for name, node in found[group].items()
            }
    return found


def _shipped_option(group: str, code: dict[str, object]) -> str | None:
    """The shipped option of the same code, or None. Modules may have moved since: functions keep their names."""
    if not all(str(value).startswith("effdl.") for key, value in code.items() if key.endswith("_target_")):
        return None
    wanted = _names(code)
    return next((option for option, other in shipped_code(group).items() if _names(other) == wanted), None)


def _names(code: dict[str, object]) -> dict[str, object]:
    return {key: str(value).rpartition(".")[2] if key.endswith("_target_") else value for key, value in code.items()}


def _without_code(node: dict) -> dict:
    return {
        key: _without_code(value) if isinstance(value, dict) else value
        for key, value in node.items()
        if key not in HYDRA_KEYS
    }


def _with_code(node: dict, code: dict[str, object]) -> dict:
    own = {key: value for key, value in code.items() if "." not in key}
    inner: dict[str, dict[str, object]] = {}
    for key, value in code.items():
        if "." in key:
            name, _, rest = key.partition(".")
            inner.setdefault(name, {})[rest] = value
    nested = {name: _with_code(node.get(name) or {}, part) for name, part in inner.items()}
    return {**own, **node, **nested}
