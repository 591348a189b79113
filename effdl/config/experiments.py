"""The committed experiments: their files, what these report, and the configs that they compose."""

from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from effdl.config.compose import composed, settings
from effdl.config.options import config_folder, option_files
from effdl.utils.errors import UserError, first_line, nearest


def experiments(config_dir: str | None) -> dict[str, Path]:
    """The files of all experiments by name; those of one's own replace shipped ones of the same name.

    Raises:
        UserError: there is no such folder.
    """
    if config_dir and not Path(config_dir).is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder")
    return option_files("experiment", config_folder(), *([Path(config_dir)] if config_dir else []))


def experiment_file(name: str, config_dir: str | None) -> Path:
    """The file of one experiment.

    Raises:
        UserError: there is none.
    """
    found = experiments(config_dir)
    if name not in found:
        raise UserError(f"{name} is not an experiment{nearest(name, found)} (allowed: {', '.join(found)})")
    return found[name]


def stated(file: Path) -> list | None:
    """What a file itself has under ``reported``, not what it inherits; None if nothing.

    Raises:
        UserError: the file is not YAML.
    """
    try:
        return OmegaConf.to_container(OmegaConf.load(file)).get("reported")
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: {first_line(error)}") from error


def config_of(name: str, overrides: list[str], config_dir: str | None) -> dict:
    """The checked config of an experiment with overrides, as plain values."""
    return settings(composed([f"experiment={name}", *overrides], config_dir))
