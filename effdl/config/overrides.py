"""Overrides as people type them, ``KEY=VALUE``: read in one place, by Hydra's own grammar where their values count."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, ValueType
from hydra.errors import HydraException, OverrideParseException

from effdl.config.options import config_folder
from effdl.config.schema import GROUPS
from effdl.utils.errors import UserError, first_line

_CHOOSING = (*GROUPS, "experiment")  # what choose files, in which keys are
_CODE_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")
_UNREADABLE = re.compile(r"=.*[^\w.,:/+=\[\]{}$'\"-]")  # characters that a text of Hydra's grammar may not have
_STRUCTURE = set("'\"[]{}$\\\n")
_MOST_VALUES = 10_000  # of a key in a sweep


def key_of(override: str) -> str:
    """The key of an override, without the signs that add or delete it: ``model`` of ``+model@teacher=resnet``."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def value_of(overrides: list[str], key: str) -> str | None:
    """The text that the last override of a key gives it, or None."""
    return next((text.partition("=")[2] for text in reversed(overrides) if key_of(text) == key and "=" in text), None)


def without(overrides: list[str], *keys: str) -> list[str]:
    """The overrides of other keys; a key that ends with a dot stands for all that begin with it."""
    whole, parts = {key for key in keys if not key.endswith(".")}, tuple(key for key in keys if key.endswith("."))
    return [text for text in overrides if key_of(text) not in whole and not (parts and key_of(text).startswith(parts))]


def resume_folder(overrides: list[str]) -> str | None:
    """FOLDER in ``resume=FOLDER``."""
    value = value_of(overrides, "resume")
    return None if value is None or value.lower() in ("true", "false") else value


def quote(path: str | Path) -> str:
    """A path as a quoted string of Hydra's grammar, in which a backslash escapes only before a quote."""
    text = re.sub(r"(\\+)('|\Z)", r"\1\1\2", str(path))
    return "'" + text.replace("'", "\\'") + "'"


def readable(overrides: list[str]) -> list[str]:
    """The overrides, with quotes around values that are plainly a path or text, but not in Hydra's grammar.

    ``dataset.root=~/data`` and ``dataset.root=/data/My Photos (1)`` are such.
    """
    return [_quoted(text) if _UNREADABLE.search(text) and not _parses(text) else text for text in overrides]


def _quoted(text: str) -> str:
    """An override with quotes around its value, unless it has structure or does not become one by them.

    A ``~`` at its begin is the user's home: shells leave it behind an equals sign.
    """
    key, equals, value = text.partition("=")
    quoted = f"{key}={quote(os.path.expanduser(value))}"
    return quoted if equals and key != "resume" and not _STRUCTURE & set(value) and _parses(quoted) else text


def _parses(text: str) -> bool:
    """Whether an override is in Hydra's grammar."""
    try:
        return bool(OverridesParser.create().parse_overrides([text]))
    except HydraException:
        return False


def parse(overrides: list[str]) -> list[Override]:
    """Overrides by Hydra's grammar.

    Raises:
        UserError: one is none.
    """
    parser, found = OverridesParser.create(), []
    for text in overrides:
        none = f"{text or repr(text)}: not a KEY=VALUE override"
        try:
            found += parser.parse_overrides([text])
        except OverrideParseException as error:
            raise UserError(none) from error
        except HydraException as error:
            reason = first_line(error)
            raise UserError(reason if key_of(text) in reason else none) from error
    return found


def swept(overrides: list[str]) -> list[Override]:
    """Those that give a key several values."""
    return [override for override in parse(overrides) if override.is_sweep_override()]


def variations(overrides: list[str]) -> Iterator[list[str]]:
    """Every combination of the swept options of groups, which decide what keys there are, the first job's first.

    Behind each come its variations: for every other swept key each of its other values, not all combinations of them.

    Raises:
        UserError: see `_check_sweeps`.
    """
    parsed = parse(overrides)
    _check_sweeps(parsed)
    choices = [list(itertools.islice(values_of(override), 1000)) for override in parsed]
    chosen = [override.key_or_group in _CHOOSING for override in parsed]
    for job in itertools.product(
        *(values if group else values[:1] for values, group in zip(choices, chosen, strict=True))
    ):
        yield [*job]
        for position, values in enumerate(choices):
            for value in [] if chosen[position] else values[1:]:
                yield [*job[:position], value, *job[position + 1 :]]


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
    """Refuse what names no option of a group, and a list that names one twice: Hydra would silently keep one."""
    for override in overrides:
        if override.key_or_group == "teacher":
            name = override.input_line.partition("=")[2] or "NAME"
            raise UserError(f"{override.input_line}: the model to learn from is chosen by +model@teacher={name}")
        if override.key_or_group not in GROUPS or override.is_sweep_override():
            continue
        value = override.value()
        if isinstance(value, int | float | dict):
            raise UserError(f"{override.input_line}: allowed is the name of an option, or [A,B]")
        if isinstance(value, list) and len(set(map(str, value))) < len(value):
            raise UserError(f"{override.input_line}: an option can be in the list once")


def check_code(overrides: list[Override]) -> None:
    """Refuse overrides that name code, by one of the keys that Hydra's ``instantiate`` knows.

    Raises:
        UserError: there is one.
    """
    for override in overrides:
        keys = {*re.split(r"[.]", override.get_key_element().lstrip("+~")), *_keys_in(override.value())}
        if named := sorted(keys & set(_CODE_KEYS)):
            raise UserError(
                f"{override.input_line}: {named[0]} names code, which is not set on the command line (allowed: "
                "GROUP=OPTION; an option of your own is a file in the folder of --config-dir)"
            )


def _keys_in(value: object) -> set[str]:
    """The keys of all mappings in a value of Hydra's grammar."""
    if isinstance(value, dict):
        return {str(key) for key in value}.union(*map(_keys_in, value.values()))
    if isinstance(value, ChoiceSweep):
        value = value.list
    return set().union(*map(_keys_in, value)) if isinstance(value, list) else set()


def _check_sweeps(overrides: list[Override]) -> None:
    """Refuse ranges without values or with too many, a value that is swept twice, and a sweep that has no effect.

    Raises:
        UserError: there is one.
    """
    keys = [override.get_key_element().lstrip("+~") for override in overrides]
    for position, override in enumerate(overrides):
        if override.is_sweep_override():
            if override.is_hydra_override():
                raise UserError(f"{override.input_line}: what is Hydra's is the same for all jobs (allowed: one value)")
            if keys[position] in keys[position + 1 :]:
                raise UserError(f"{override.input_line}: {keys[position]} is given again behind it")
            if not override.is_interval_sweep():
                _check_values(override)


def _check_values(override: Override) -> None:
    """Refuse (UserError) the values of a sweep that are none, too many, or equal."""
    if override.is_range_sweep() and not override.value().step:
        raise UserError(f"{override.input_line}: the step is 0 (allowed: range(START,STOP,STEP))")
    values = list(itertools.islice(values_of(override), _MOST_VALUES + 1))
    if not values:
        raise UserError(f"{override.input_line}: no value is in this range (allowed: range(START,STOP,STEP))")
    if len(values) > _MOST_VALUES:
        raise UserError(f"{override.input_line}: more values than are swept (allowed: {_MOST_VALUES:,})")
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise UserError(f"{override.input_line}: {twice[0].partition('=')[2]} is there twice")
