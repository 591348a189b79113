"""Checks of a config before any work; each error names the key, its value and what is allowed. No Hydra here."""

from collections.abc import Iterable
from typing import Any, get_type_hints

from effdl.config.annotations import conforms, describe, show
from effdl.config.identity import LISTS
from effdl.config.instantiate import keywords, locate, required
from effdl.config.schema import HYDRA_KEYS, LEVELS, NODES, SHARED, SUPPLIED, DeviceSettings, Settings
from effdl.utils.errors import UserError, nearest

_LAYERS = ("exclude", "student_layers", "teacher_layers")  # keys of compression steps that name layers


def check_settings(config: dict, raw: dict | None) -> None:
    """Check the run's own keys, without importing torch.

    Args:
        config: the resolved config.
        raw: the same before its interpolations were resolved, which shows what uses the dropout and the levels; None:
            these were checked when the run began.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    _check_present("", config, [*NODES, *get_type_hints(Settings)])
    for group in NODES:
        if not isinstance(config[group], dict):
            raise UserError(
                f"{group}={show(config[group])}: allowed is one of the options that `effdl list {group}` shows"
            )
    _check_present("device.", config["device"], get_type_hints(DeviceSettings))
    for group in LISTS:
        for name, node in config[group].items():
            _check_node(f"{group}.{name}", node)
    own = {key: value for key, value in config.items() if key not in NODES}
    check_values("", own, get_type_hints(Settings, include_extras=True), also=NODES)
    check_values("device.", config["device"], get_type_hints(DeviceSettings, include_extras=True))
    meter = locate("effdl.measure.energy.EnergyMeter")
    _check_present("energy.", config["energy"], required(meter))
    check_values("energy.", config["energy"], keywords(meter))
    if not (config["dataset"].get("val") or config["dataset"].get("folds")):
        if config["early_stop"]:
            raise UserError(f"early_stop={config['early_stop']} needs a validation split: set dataset.val above 0")
        if str(config["scheduler"].get("_target_")).endswith(".plateau"):
            raise UserError("scheduler=plateau needs a validation split: set dataset.val above 0")
    if raw is not None:
        _check_used(config, raw)


def _check_used(config: dict, raw: dict) -> None:
    """Check that something takes the dropout, the fold and the levels that are set."""
    dataset = config["dataset"]
    if dataset.get("fold") and dataset.get("folds") is None:
        raise UserError(f"dataset.fold={show(dataset['fold'])} has no effect without dataset.folds=K")
    if config["dropout"] and "${dropout}" not in str(raw["model"]):
        raise UserError(f"dropout={config['dropout']} has no effect: this model takes none (allowed: 0)")
    for level in LEVELS:
        steps = [name for name, node in raw["compression"].items() if f"${{{level}}}" in str(node)]
        if config[level] and not any(config["compression"][name].get("level") for name in steps):
            raise UserError(f"{level}={config[level]} has no step to use it: add one to compression=[...]")
    if config["distill"] == "teacher" and not config["teacher"]:
        raise UserError("distill=teacher needs a model to learn from: add +model@teacher=NAME")


def check_targets(config: dict) -> None:
    """Check everything that groups select against the signatures of the functions they name.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    for group in ("dataset", "model", "optimizer", "scheduler"):
        check_call(group, config[group], SHARED.get(group, {}))
    if config["teacher"]:
        check_call("teacher", config["teacher"], SHARED["model"])
    if config["pretraining"]:
        check_call("pretraining", config["pretraining"], SHARED["pretraining"])
    for name, node in config["augment"].items():
        check_call(f"augment.{name}", node, {})
    for name, node in config["logger"].items():
        check_call(f"logger.{name}", node, {})
    for name, node in config["metric"].items():
        check_call(f"metric.{name}", node, {})
    for name, node in config["compression"].items():
        _check_level(config, name, node)
        check_call(f"compression.{name}", node, SHARED["compression"])


def active(config: dict) -> dict:
    """The config without the compression steps that are off, and without what an experiment says of no pretraining."""
    steps = {name: _with_layers(node) for name, node in config["compression"].items() if node.get("level")}
    keys = config.get("pretraining") or {}  # with pretraining=none those that an experiment has for its method
    method = keys if {"_target_", "option"} & {*keys} else {}
    return {**config, "compression": steps} | ({"pretraining": method} if keys else {})


def _with_layers(node: dict) -> dict:
    """A step with its layers named by texts: those of a Sequential are called by numbers, which YAML reads as such."""
    found = {key: node[key] for key in _LAYERS if isinstance(node.get(key), list)}
    return node | {key: [str(name) if type(name) is int else name for name in names] for key, names in found.items()}


def _check_level(config: dict, name: str, node: dict) -> None:
    """Check the level of a step, and call it by the name under which it was set."""
    if not isinstance(node, dict) or "_target_" not in node or "level" not in node:
        return
    hint, level, stage = (
        keywords(locate(node["_target_"]), SUPPLIED["compression"]).get("level", Any),
        node["level"],
        node.get("stage"),
    )
    if not conforms(level, hint):
        key = stage if level == config.get(stage) else f"compression.{name}.level"
        raise UserError(f"{key}={show(level)}: allowed is {describe(hint)} (for {name})")


def check_call(path: str, node: dict, shared: dict[str, Any] | str) -> None:
    """Check a node with a ``_target_`` against its function's keyword-only parameters and the group's shared keys."""
    _check_node(path, node)
    group = path.partition(".")[0]
    hints = {}
    for target in (node["_target_"], *([shared] if isinstance(shared, str) else [])):
        function = locate(target)
        supplied = SUPPLIED.get(group, 0) if target == node["_target_"] else 0
        _check_present(f"{path}.", node, required(function, supplied))
        hints |= keywords(function, supplied)
    hints |= shared if isinstance(shared, dict) else {}
    nested = {key: value for key, value in node.items() if isinstance(value, dict) and "_target_" in value}
    for key, value in nested.items():
        check_call(f"{path}.{key}", value, {})
    plain = {key: value for key, value in node.items() if key not in (*HYDRA_KEYS, *nested)}
    check_values(f"{path}.", plain, hints)
    check_values(f"{path}.", dict.fromkeys(nested), dict.fromkeys(hints, Any))


def _check_node(path: str, node: Any) -> None:
    """Check that a value is what an option is: a mapping that names code."""
    if not isinstance(node, dict) or "_target_" not in node:
        group = path.partition(".")[0]
        allowed = f"one of the options that `effdl list {group}` shows"
        if group == "teacher":
            allowed = "a model: +model@teacher=NAME chooses it"
        raise UserError(f"{path}={show(node)}: allowed is {allowed}")


def _check_present(prefix: str, values: dict, names: Iterable[str]) -> None:
    """Check that no key was taken away, as ``~epochs`` does."""
    for name in names:
        if name not in values:
            raise UserError(f"{prefix}{name} is missing: it needs a value")


def check_values(prefix: str, values: dict, hints: dict[str, Any], also: Iterable[str] = ()) -> None:
    """Check values against annotations by name; names in `also` are keys whose values are checked elsewhere."""
    for key, value in values.items():
        if key not in hints:
            known = [*hints, *(name for name in also if name != key)]
            raise UserError(f"{prefix}{key} is not a key{nearest(key, known)} (allowed: {', '.join(known)})")
        if not conforms(value, hints[key]):
            raise UserError(f"{prefix}{key}={show(value)}: allowed is {describe(hints[key])}")
