"""What a config may hold, checked before any work. Plain dicts in; no Hydra here.

A key's type and range are written once: in `Settings` and `Device` for the run's own keys, and for everything a
group selects in the signature of the function that its ``_target_`` names. Keyword-only parameters are keys of the
config; positional ones are supplied by the run.
"""

import difflib
import importlib
import inspect
import json
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from effdl.errors import UserError
from effdl.types import Count, Fraction, Natural, Positive

HYDRA_KEYS = ("_target_", "_partial_")
RUN_KEYS = (*HYDRA_KEYS, "stage")


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
    topk: list[Count]
    prune: Fraction | None
    resume: bool | str


@dataclass(frozen=True)
class Device:
    """The keys of the group ``device``."""

    name: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16", "fp16"]
    channels_last: bool
    compile: bool
    threads: Count | None
    deterministic: bool


# Groups whose keys all functions of the group share, besides those of the function itself.
SHARED = {"model": {"weights": str | None}, "dataset": "effdl.data.load.prepare", "compression": {"stage": str}}
GROUPS = ("dataset", "model", "optimizer", "scheduler", "augment", "compression", "device", "energy")
LEVELS = ("prune",)


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'resnet'?`` if one of the words is close, else nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_settings(config: dict, raw: dict) -> None:
    """Check the run's own keys, without importing torch.

    Args:
        config: the resolved config.
        raw: the same before its interpolations were resolved, which shows the steps that use a level.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    own = {key: value for key, value in config.items() if key not in GROUPS}
    check_values("", own, get_type_hints(Settings, include_extras=True), also=GROUPS)
    check_values("device.", config["device"], get_type_hints(Device, include_extras=True))
    if config["early_stop"] and not (config["dataset"].get("val") or config["dataset"].get("folds")):
        raise UserError(f"early_stop={config['early_stop']} needs a validation split: set dataset.val above 0")
    for level in LEVELS:
        if config[level] and f"${{{level}}}" not in str(raw["compression"]):
            raise UserError(f"{level}={config[level]} has no step to use it: add one to compression=[...]")


def check_targets(config: dict) -> None:
    """Check everything that groups select against the signatures of the functions they name.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    for group in ("dataset", "model", "optimizer", "scheduler"):
        check_call(group, config[group], SHARED.get(group, {}))
    for group in ("augment", "compression"):
        for name, node in config[group].items():
            check_call(f"{group}.{name}", node, SHARED.get(group, {}))
    check_values("energy.", config["energy"], keywords(locate("effdl.measure.energy.EnergyMeter")))


def check_call(path: str, node: dict, shared: dict[str, Any] | str) -> None:
    """Check a node with a ``_target_`` against its function's keyword-only parameters and the group's shared keys."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{path}={node}: allowed is one of the options that `effdl list {path}` shows")
    hints = keywords(locate(node["_target_"])) | (keywords(locate(shared)) if isinstance(shared, str) else shared)
    check_values(f"{path}.", {key: value for key, value in node.items() if key not in HYDRA_KEYS}, hints)


def check_values(prefix: str, values: dict, hints: dict[str, Any], also: Iterable[str] = ()) -> None:
    """Check values against annotations by name; names in `also` are keys whose values are checked elsewhere."""
    for key, value in values.items():
        if key not in hints:
            known = [*hints, *(name for name in also if name != key)]
            raise UserError(f"{prefix}{key} is not a key{nearest(key, known)} (allowed: {', '.join(known)})")
        if not conforms(value, hints[key]):
            raise UserError(f"{prefix}{key}={show(value)}: allowed is {describe(hints[key])}")


def conforms(value: Any, annotation: Any) -> bool:
    """Whether a value is of the annotated type and within its range; unannotated parameters take anything."""
    if annotation is inspect.Parameter.empty:
        return True
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError:
        return False
    except PydanticSchemaGenerationError:  # a foreign library's own type: the function will check it
        return True
    return True


def keywords(function: Callable) -> dict[str, Any]:
    """Annotations of a function's keyword-only parameters (of all its named ones if it has no keyword-only ones)."""
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY] or [
        p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    annotated = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(annotated, include_extras=True) if inspect.isfunction(annotated) else {}
    return {p.name: hints.get(p.name, p.annotation) for p in named}


def locate(target: str) -> Callable:
    """The object that a dotted path names.

    Raises:
        UserError: there is none.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"_target_={target}: {error}") from error


def instantiate(node: dict, *supplied: Any) -> Any:
    """Call a node's function with what the run supplies and the node's keys; bind the keys only, if ``_partial_``."""
    arguments = {key: value for key, value in node.items() if key not in RUN_KEYS}
    function = partial(locate(node["_target_"]), **arguments)
    return function if node.get("_partial_") else function(*supplied)


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
        return " ".join([describe(annotation.__origin__), describe_range(annotation.__metadata__)]).strip()
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(annotation, str(annotation))


def describe_range(metadata: tuple) -> str:
    """The bounds in an annotation's metadata, in words."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [bound for field in metadata for bound in getattr(field, "metadata", [field])]
    return " and ".join(
        f"{sign} {getattr(bound, name)}" for name, sign in signs.items() for bound in bounds if hasattr(bound, name)
    )
