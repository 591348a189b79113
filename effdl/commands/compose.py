"""From command-line overrides to a checked config, and from Hydra's errors to messages for people."""

import itertools
import re
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from effdl.commands import config_folder
from effdl.config import NODES, active, check_settings
from effdl.errors import UserError, first_line, nearest
from effdl.results import flatten
from effdl.sweeps import run_name

LISTS = ("augment", "compression", "logger")


def matching(value: str | float | None, pattern: str) -> str | float | None:
    """The value, if all of its text matches a regular expression: by this a method takes some values of its knob."""
    return value if value is not None and re.fullmatch(pattern, str(value)) else None


def folder_name(*, _root_: DictConfig) -> str:
    """The folder of a run in its sweep: see `sweeps.run_name`."""
    plain = plain_values(_root_)
    return run_name(active(plain))


def plain_values(config: DictConfig) -> dict:
    """The run's part of a composed config, unchecked; if it cannot be resolved, as it was written."""
    config = own_part(config)
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_container(config, resolve=False)


def own_part(config: DictConfig) -> DictConfig:
    """What a run reads: neither Hydra's part nor what an experiment states, which is for `effdl reproduce`."""
    return OmegaConf.masked_copy(config, [key for key in config if key not in ("hydra", "reported")])


OmegaConf.register_new_resolver("matching", matching, replace=True)
OmegaConf.register_new_resolver("run_name", folder_name, replace=True)


def composed(overrides: list[str], config_dir: str | None, configs: Path | None = None) -> DictConfig:
    """The config of one run, with Hydra's own part.

    Args:
        config_dir: the user's own config files, which come before the others.
        configs: the others, if not the shipped ones.

    Raises:
        UserError: an override that does not parse or fit; names the key, the value and what is allowed.
    """
    if config_dir and not Path(config_dir).is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder")
    with search_path(config_dir, configs or config_folder()):
        try:
            check_lists(parse(overrides))
            return compose("train", overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise UserError(explain(error, overrides)) from error


@contextmanager
def search_path(config_dir: str | None, configs: Path) -> Iterator[None]:
    """Let `compose` find config files and, before them, the user's own, as `hydra.main` will."""
    version.setbase("1.3")
    path = create_config_search_path(str(configs))
    if config_dir:
        path.prepend("command-line", f"file://{Path(config_dir).resolve()}", SearchPathQuery(provider="schema"))
    Hydra.create_main_hydra2(task_name="train", config_search_path=path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def settings(config: DictConfig) -> dict:
    """The run's part of a composed config as plain values, its own keys checked and its paths made absolute.

    What its groups select is left to `check_targets`, which imports it, and torch with it.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    config = own_part(config)
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(first_line(error)) from error
    check_settings(plain, OmegaConf.to_container(config, resolve=False))
    if "root" in plain["dataset"]:
        plain["dataset"]["root"] = str(Path(plain["dataset"]["root"]).expanduser().absolute())
    return active(plain)


def parse(overrides: list[str]) -> list[Override]:
    """Overrides by Hydra's grammar."""
    return OverridesParser.create().parse_overrides(overrides)


def variations(overrides: list[str]) -> Iterator[list[str]]:
    """The first job of a sweep, then for every swept key each of its other values: all values, not all combinations."""
    try:
        parsed = parse(overrides)
    except HydraException as error:
        raise UserError(explain(error, overrides)) from error
    choices = [list(itertools.islice(values_of(override), 1000)) for override in parsed]
    first = [values[0] for values in choices]
    yield first
    for position, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:position], value, *first[position + 1 :]]


def variants(overrides: list[str], config_dir: str | None, configs: Path | None = None) -> Iterator[DictConfig]:
    """The configs of `variations`; one that differs from the first in a plain value is not composed anew.

    Raises:
        UserError: see `composed`.
    """
    lists = variations(overrides)
    first = next(lists)
    base = composed(first, config_dir, configs)
    plain = plain_keys(base)
    yield base
    for other in lists:
        changed = next(text for text, before in zip(other, first, strict=True) if text != before)
        if changed.partition("=")[0] in plain:
            yield with_values(base, parse([changed]))
        else:
            yield composed(other, config_dir, configs)


def plain_keys(config: DictConfig) -> set[str]:
    """The keys of a run that hold plain values: configs that differ in these alone share a composition."""
    return flatten(OmegaConf.to_container(own_part(config), resolve=False)).keys() - set(NODES)


def with_values(config: DictConfig, overrides: Iterable[Override]) -> DictConfig:
    """A copy of a composed config with other plain values."""
    config = deepcopy(config)
    for override in overrides:
        OmegaConf.update(config, override.key_or_group, override.value())
    return config


def values_of(override: Override) -> Iterator[str]:
    """The values that a sweep gives to one override, as overrides: of an interval its ends."""
    if not override.is_sweep_override():
        yield override.input_line
    elif override.is_interval_sweep():
        yield from (f"{override.get_key_element()}={end}" for end in (override.value().start, override.value().end))
    elif override.value_type is ValueType.GLOB_CHOICE_SWEEP:
        options = sorted(file.stem for file in (config_folder() / override.key_or_group).glob("*.yaml"))
        if not (chosen := override.value().filter(options)):
            raise UserError(f"{override.input_line}: fits none of {', '.join(options)}")
        yield from (f"{override.get_key_element()}={name}" for name in chosen)
    else:
        for value in override.sweep_string_iterator():
            yield f"{override.get_key_element()}={value}"


def check_lists(overrides: list[Override]) -> None:
    """Refuse a list that names an option twice: Hydra would silently keep one."""
    for override in overrides:
        values = override.value() if override.key_or_group in LISTS else None
        if isinstance(values, list) and len(set(map(str, values))) < len(values):
            raise UserError(f"{override.input_line}: an option can be in the list once")


def explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's error as one message that names what was typed and what is allowed."""
    text = str(error)
    if isinstance(error, MissingConfigException) and (found := re.search(r"Could not (?:find|load) '([^']+)'", text)):
        group, _, option = found[1].rpartition("/")
        allowed = GlobalHydra.instance().config_loader().get_group_options(group)
        if group == "hydra/launcher" and option.startswith(("joblib", "submitit")):
            return f"{group}={option} needs its plugin: pip install 'effdl[sweep]'"
        return f"{group}={option} is not an option{nearest(option, allowed)} (allowed: {', '.join(allowed)})"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a KEY=VALUE override"
    if found := re.search(r"Could not (?:override|append|delete)[^']*'([^']+)'", text):
        key = found[1]
        others = [override for override in overrides if override.lstrip("+~").split("=")[0].split("@")[0] != key]
        return f"{key} is not a key{nearest(key, known_keys(others, key))}"
    return first_line(error)


def known_keys(overrides: list[str], wrong: str) -> list[str]:
    """Keys that could be meant: those of the config without the wrong override, on the same level."""
    try:
        config = compose("train", overrides)
    except (HydraException, OmegaConfBaseException):
        config = compose("train")
    keys = [*flatten(OmegaConf.to_container(config, resolve=False)), *config, "experiment"]
    return [key for key in keys if key.count(".") == wrong.count(".")]


def flags_of(arguments: list[str], args: Namespace) -> list[str]:
    """The arguments that are not overrides, in their order: Hydra wants them in front."""
    return [argument for argument in arguments if argument not in args.overrides]
