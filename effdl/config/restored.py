"""The config of a run that is resumed by its folder: what its files say, and what is typed besides."""

from pathlib import Path

from hydra.core.override_parser.types import Override

from effdl.config.compose import composed, plain_values
from effdl.config.identity import flatten, foreign_code
from effdl.config.overrides import check_lists, parse
from effdl.config.schema import GROUPS
from effdl.config.stored import stored_config
from effdl.config.validation import check_settings
from effdl.utils.errors import UserError, nearest


def restored(stored: dict, overrides: list[str], *, trusted: bool) -> dict:
    """A run's config out of its own file, checked, with what is typed besides ``resume=FOLDER``.

    Nothing of Hydra's is read from the folder, and no code that is not effdl's is even imported.

    Args:
        stored: the config of ``run.json``, by options.
        trusted: code that is not part of effdl may be named.

    Raises:
        UserError: it names such code, or a value is not allowed.
    """
    config = stored_config(stored)
    if not trusted and (foreign := foreign_code(config)):
        raise UserError(f"{foreign}: the run names code that is not part of effdl (--trust runs it)")
    parsed = parse(overrides)
    check_lists(parsed)
    for override in parsed:
        if override.get_key_element() != "resume":
            _apply(override, config)
    config["resume"] = True
    check_settings(config, None)
    if "root" in config["dataset"]:
        config["dataset"]["root"] = str(Path(str(config["dataset"]["root"])).expanduser().absolute())
    return config


def _apply(override: Override, config: dict) -> None:
    """Change what an override changes."""
    text, key = override.input_line, override.key_or_group
    if key.partition(".")[0].partition("/")[0] == "hydra":
        raise UserError(f"{text}: resume=FOLDER goes on where the run is, Hydra has no part in it")
    if override.is_sweep_override() or override.is_delete() or override.package:
        raise UserError(f"{text}: allowed besides resume=FOLDER is KEY=VALUE, such as dataset.root=DIR")
    if key in GROUPS:
        config[key] = plain_values(composed([text], None))[key]
        return
    *parents, last = key.split(".")
    node = config
    for name in parents:
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, dict) or (last not in node and not override.is_add()):
        raise UserError(f"{key} is not a key of the run{nearest(key, [*flatten(config), *config])}")
    node[last] = override.value()
