"""What a config may hold, checked before any work. Plain dicts in; no Hydra here.

A key's type and range are written once: in `Settings` and `Device` for the run's own keys, and for everything a
group selects in the signature of the function that its ``_target_`` names. Keyword-only parameters are keys of the
config; positional ones are supplied by the run.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field

from effdl.annotations import conforms, describe, show
from effdl.errors import UserError, nearest
from effdl.types import Count, Fraction, Natural, Pattern, Positive, SpeedUp

HYDRA_KEYS = ("_target_", "_partial_")
RUN_KEYS = (*HYDRA_KEYS, "stage", "during")
Bits = Annotated[int, Field(ge=1, le=8)]


@dataclass(frozen=True)
class Settings:
    """The top-level keys of ``train.yaml``."""

    seed: Natural
    epochs: Natural
    batch_size: Count
    eval_batch_size: Count
    label_smoothing: Fraction
    dropout: Fraction
    clip_norm: Positive | None
    ema: Fraction | None
    early_stop: Count | None
    topk: Annotated[list[Count], Field(min_length=1)]
    prune: Fraction | SpeedUp | Pattern | None
    factorize: Fraction | None
    quantize: Literal["int8", "fp16", "bf16", "binary", "ternary"] | Bits | None
    distill: str | None
    resume: bool | str


@dataclass(frozen=True)
class Device:
    """The keys of the group ``device``."""

    name: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: bool | None
    compile: bool
    threads: Count | None
    deterministic: bool


# Groups whose keys all functions of the group share, besides those of the function itself.
SHARED = {
    "model": {"weights": str | None},
    "dataset": "effdl.data.load.prepare",
    "compression": {"stage": str, "during": list[str] | None},
}
GROUPS = ("dataset", "model", "optimizer", "scheduler", "augment", "compression", "device", "energy", "logger")
NODES = (*GROUPS, "teacher")  # keys whose values are no single values
LEVELS = ("prune", "factorize", "quantize", "distill")


def check_settings(config: dict, raw: dict) -> None:
    """Check the run's own keys, without importing torch.

    Args:
        config: the resolved config.
        raw: the same before its interpolations were resolved, which shows what uses the dropout and the levels.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    check_present("", config, [*NODES, *get_type_hints(Settings)])
    check_present("device.", config["device"], get_type_hints(Device))
    own = {key: value for key, value in config.items() if key not in NODES}
    check_values("", own, get_type_hints(Settings, include_extras=True), also=NODES)
    check_values("device.", config["device"], get_type_hints(Device, include_extras=True))
    meter = locate("effdl.measure.energy.EnergyMeter")
    check_present("energy.", config["energy"], required(meter))
    check_values("energy.", config["energy"], keywords(meter))
    if not (config["dataset"].get("val") or config["dataset"].get("folds")):
        if config["early_stop"]:
            raise UserError(f"early_stop={config['early_stop']} needs a validation split: set dataset.val above 0")
        if str(config["scheduler"].get("_target_")).endswith(".plateau"):
            raise UserError("scheduler=plateau needs a validation split: set dataset.val above 0")
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
    for name, node in config["augment"].items():
        check_call(f"augment.{name}", node, {})
    for name, node in config["logger"].items():
        check_call(f"logger.{name}", node, {})
    for name, node in config["compression"].items():
        check_level(config, name, node)
        check_call(f"compression.{name}", node, SHARED["compression"])


def active(config: dict) -> dict:
    """The config without the compression steps that are off."""
    return {**config, "compression": {name: node for name, node in config["compression"].items() if node.get("level")}}


def check_level(config: dict, name: str, node: dict) -> None:
    """Check the level of a step, and call it by the name under which it was set."""
    if not isinstance(node, dict) or "_target_" not in node or "level" not in node:
        return
    hint, level, stage = keywords(locate(node["_target_"])).get("level", Any), node["level"], node.get("stage")
    if not conforms(level, hint):
        key = stage if level == config.get(stage) else f"compression.{name}.level"
        raise UserError(f"{key}={show(level)}: allowed is {describe(hint)} (for {name})")


def check_call(path: str, node: dict, shared: dict[str, Any] | str) -> None:
    """Check a node with a ``_target_`` against its function's keyword-only parameters and the group's shared keys."""
    if not isinstance(node, dict) or "_target_" not in node:
        group = path.partition(".")[0]
        raise UserError(f"{path}={node}: allowed is one of the options that `effdl list {group}` shows")
    hints = {}
    for target in (node["_target_"], *([shared] if isinstance(shared, str) else [])):
        function = locate(target)
        check_present(f"{path}.", node, required(function))
        hints |= keywords(function)
    hints |= shared if isinstance(shared, dict) else {}
    nested = {key: value for key, value in node.items() if isinstance(value, dict) and "_target_" in value}
    for key, value in nested.items():
        check_call(f"{path}.{key}", value, {})
    plain = {key: value for key, value in node.items() if key not in (*HYDRA_KEYS, *nested)}
    check_values(f"{path}.", plain, hints)
    check_values(f"{path}.", dict.fromkeys(nested), dict.fromkeys(hints, Any))


def check_present(prefix: str, values: dict, names: Iterable[str]) -> None:
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


def keywords(function: Callable) -> dict[str, Any]:
    """Annotations of a function's keyword-only parameters (of all its named ones if it has no keyword-only ones).

    Of a class, such as another library's, also those of the parameters with a default.
    """
    parameters, of_class = inspect.signature(function).parameters.values(), inspect.isclass(function)
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    own = [p.name for p in named if p.kind is p.KEYWORD_ONLY or (of_class and p.default is not p.empty)]
    keys = own or [p.name for p in named]
    annotated = function.__init__ if of_class else function
    try:
        hints = get_type_hints(annotated, include_extras=True) if inspect.isfunction(annotated) else {}
    except NameError:  # a foreign library's names, imported for type checkers only
        hints = {}
    return {key: hints.get(key, inspect.Parameter.empty) for key in keys}


def required(function: Callable) -> list[str]:
    """Names of the keyword-only parameters without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def locate(target: str) -> Callable:
    """The function or class that a dotted path names.

    Raises:
        UserError: there is none.
    """
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"_target_={target}: {error}") from error
    if not callable(found):
        raise UserError(f"_target_={target} is not a function")
    return found


def instantiate(node: dict, *supplied: Any) -> Any:
    """Call a node's function with what the run supplies and the node's keys; bind the keys only, if ``_partial_``."""
    given = {key: value for key, value in node.items() if key not in RUN_KEYS}
    arguments = {
        key: instantiate(value) if isinstance(value, dict) and "_target_" in value else value
        for key, value in given.items()
    }
    function = partial(locate(node["_target_"]), **arguments)
    return function if node.get("_partial_") else function(*supplied)
