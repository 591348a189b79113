"""From command-line overrides to a checked config, and from Hydra's errors to messages for people."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from effdl.config import naming
from effdl.config.hydra_app import check_hydra, search_path
from effdl.config.identity import add_later_keys, flatten
from effdl.config.instantiate import allow_code_of
from effdl.config.options import config_folder, content, option_files
from effdl.config.overrides import check_code, check_lists, key_of, parse, variations
from effdl.config.schema import LEVELS, NODES
from effdl.config.validation import active, check_settings
from effdl.utils.errors import UserError, first_line, nearest


def _folder_name(*, _root_: DictConfig) -> str:
    """The folder of a run in its sweep: see `naming.folder_name`."""
    plain = plain_values(_root_)
    return naming.folder_name(active(plain))


OmegaConf.register_new_resolver("run_name", _folder_name, replace=True)


def plain_values(config: DictConfig) -> dict:
    """The run's part of a composed config, unchecked; if it cannot be resolved, as it was written."""
    config = _own_part(config)
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_container(config, resolve=False)


def _own_part(config: DictConfig) -> DictConfig:
    """What a run reads: neither Hydra's part nor what an experiment states, which is for `effdl reproduce`."""
    return OmegaConf.masked_copy(config, [key for key in config if key not in ("hydra", "reported")])


def composed(overrides: list[str], config_dir: str | None, configs: Path | None = None) -> DictConfig:
    """The config of one run, with Hydra's own part.

    Args:
        config_dir: the user's own config files and code.
        configs: the others, if not the shipped ones.

    Raises:
        UserError: an override that does not parse or fit; names the key, the value and what is allowed.
    """
    if config_dir:
        allow_code_of(config_dir)
    with search_path(config_dir, configs or config_folder()):
        try:
            parsed = parse(overrides)
            check_code(parsed)
            check_lists(parsed)
            config = compose("train", overrides, return_hydra_config=True)
            check_hydra(config)
            return config
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise UserError(explain(error, overrides)) from error
        except RecursionError as error:
            raise UserError(f"{' '.join(overrides)}: something in this config refers to itself") from error


def settings(config: DictConfig, typed_in: Path | None = None) -> dict:
    """The run's part of a composed config as plain values, its own keys checked and ``dataset.root`` made absolute.

    What its groups select is left to `check_targets`, which imports it, and torch with it.

    Args:
        typed_in: the folder that a relative path means; None: the current one. The other paths stay as they are typed
            (see `effdl.config.paths`).

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    config = _own_part(config)
    try:
        for level in LEVELS:  # before the steps that refer to it: an error names what was typed
            _ = config[level]
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(first_line(error)) from error
    if plain["dataset"].get("fold") == "all":
        raise UserError("dataset.fold=all: all folds are a sweep, which needs -m (and dataset.folds=K)")
    add_later_keys(plain)  # which copies of configs that an earlier version froze do not have
    check_settings(plain, OmegaConf.to_container(config, resolve=False))
    if isinstance(root := plain["dataset"].get("root"), str):
        plain["dataset"]["root"] = str(((typed_in or Path()) / os.path.expanduser(root)).absolute())
    return active(plain)


def variants(
    overrides: list[str], config_dir: str | None, configs: Path | None = None
) -> Iterator[tuple[list[str], DictConfig]]:
    """The `variations` of a sweep: what is swept, and the config; none is composed anew for another plain value.

    Raises:
        UserError: see `composed`; names the job.
    """
    several = [override.is_sweep_override() for override in parse(overrides)]
    base, plain, config = [], set(), DictConfig({})
    for job in variations(overrides):
        label = [text for text, is_swept in zip(job, several, strict=True) if is_swept]
        changed = [text for text, before in zip(job, base, strict=True) if text != before] if base else []
        if len(changed) == 1 and changed[0].partition("=")[0] in plain:
            yield label, with_values(config, parse(changed))
            continue
        with naming_job(label):
            config = composed(job, config_dir, configs)
        base, plain = job, plain_keys(config)
        yield label, config


@contextmanager
def naming_job(label: list[str]) -> Iterator[None]:
    """Let a mistake (UserError) in the ``with`` block say in which job of a sweep it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error} (in the job {' '.join(label)})" if label else str(error)) from error


def plain_keys(config: DictConfig) -> set[str]:
    """The keys of a run that hold plain values: configs that differ in these alone share a composition."""
    return flatten(OmegaConf.to_container(_own_part(config), resolve=False)).keys() - set(NODES)


def with_values(config: DictConfig, overrides: Iterable[Override]) -> DictConfig:
    """A copy of a composed config with other plain values."""
    config = deepcopy(config)
    for override in overrides:
        OmegaConf.update(config, override.key_or_group, override.value())
    return config


def explain(error: Exception, overrides: list[str]) -> str:
    """Hydra's error as one message that names what was typed and what is allowed."""
    text = str(error)
    if isinstance(error, MissingConfigException) and (found := re.search(r"Could not (?:find|load) '([^']+)'", text)):
        keys = [key for key in map(key_of, overrides) if found[1].startswith(f"{key}/")]
        group = keys[-1] if keys else found[1].rpartition("/")[0]
        option = found[1].removeprefix(f"{group}/")
        allowed = GlobalHydra.instance().config_loader().get_group_options(group)
        if group == "dataset" and "/" in option:  # a path
            return f"{group}={option} is not an option (a folder of images: {group}=image_folder {group}.root={option})"
        if group == "hydra/launcher" and option.startswith(("joblib", "submitit")):
            return f"{group}={option} needs its plugin: pip install 'effdl[sweep]'"
        return f"{group}={option} is not an option{nearest(option, allowed)} (allowed: {', '.join(allowed)})"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a KEY=VALUE override"
    if sign := _wrong_sign(text, overrides):
        return sign
    if found := re.search(r"Could not (?:override|append|delete)[^']*'([^']+)'", text):
        key = found[1]
        if key.startswith("teacher.") and not any("@teacher=" in override for override in overrides):
            return f"{key}: there is no teacher (allowed: +model@teacher=NAME distill=teacher)"
        others = [override for override in overrides if key_of(override) != key]
        return f"{key} is not a key{_meant(key, others)}"
    if found := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return f"{found[1]}: several values are a sweep, which needs -m (one value with a comma: quotes around it)"
    cause = f" ({first_line(error.__cause__)})" if isinstance(error.__cause__, OmegaConfBaseException) else ""
    said = first_line(error).partition(", possible interpolation keys")[0] + cause
    if any(key_of(override) in said for override in overrides):
        return said
    return f"{_culprit(overrides)}: {first_line(error.__cause__) if cause else said}"


def _wrong_sign(text: str, overrides: list[str]) -> str | None:
    """What to type instead of an override, if Hydra's error says that its + is missing or too much."""
    if found := re.search(r"To append to your default list use \+(\S+@\S+)", text):
        return f"{found[1]}: allowed is +{found[1]}"
    found = re.search(r"(?:An item is already at '|Multiple values for )([\w./@]+)", text)
    typed = [
        one
        for one in overrides
        if found and one.startswith("+") and one.lstrip("+").startswith(f"{found[1].rstrip('.')}=")
    ]
    return f"{typed[-1]}: it is there already, and is changed by {typed[-1].lstrip('+')}" if typed else None


def _culprit(overrides: list[str]) -> str:
    """The override without which the others would do; all of them if there is no such one."""
    for i, override in reversed(list(enumerate(overrides))):
        with suppress(HydraException, OmegaConfBaseException, ValueError):
            compose("train", overrides[:i] + overrides[i + 1 :], return_hydra_config=True)
            return override
    return " ".join(overrides)


def _meant(wrong: str, overrides: list[str]) -> str:
    """What is meant by a key that is none: that of another option, or one like it, on its level or below a group."""
    group, _, key = wrong.partition(".")
    if having := [option for option, file in option_files(group, config_folder()).items() if key in content(file)]:
        return f" here; it is one of {group}={', '.join(having)}"
    try:
        config = compose("train", overrides)
    except (HydraException, OmegaConfBaseException):
        config = compose("train")
    keys = [*flatten(OmegaConf.to_container(config, resolve=False)), *config, "experiment"]
    hint = nearest(wrong, [key for key in keys if key.count(".") == wrong.count(".")])
    if below := [key for key in keys if key.endswith(f".{wrong}")]:
        return f"; did you mean {' or '.join(map(repr, below[:3]))}?"
    return hint
