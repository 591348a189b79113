"""The committed experiments: their files, what these report, and the configs that they compose.

``experiment/NAME.yaml`` holds the recipe, and under ``reported`` what a paper says that it gives. ``NAME.json`` beside
it holds what runs of it gave. `effdl.report.reproduction.claims` says what both look like.
"""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from effdl.config.compose import composed, settings
from effdl.config.folds import FOLD, all_folds
from effdl.config.options import config_folder, option_files, own_folder
from effdl.utils.errors import UserError, first_line, nearest


def experiments(config_dir: str | None) -> dict[str, Path]:
    """The files of all experiments by name, one's own with the shipped ones.

    Raises:
        UserError: as for `own_folder`.
    """
    return option_files("experiment", config_folder(), *([own_folder(config_dir)] if config_dir else []))


def experiment_file(name: str, config_dir: str | None) -> Path:
    """The file of one experiment.

    Raises:
        UserError: there is none.
    """
    found = experiments(config_dir)
    if name not in found:
        raise UserError(f"{name!r} is not an experiment{nearest(name, found)} (allowed: {', '.join(found)})")
    return found[name]


def results_file(file: Path) -> Path:
    """Where stands what runs of an experiment measured. JSON, so that Hydra does not take it for an experiment."""
    return file.with_suffix(".json")


def stated(file: Path) -> dict[Path, Any]:
    """The list of sources that each file of an experiment states, without what it inherits; empty if none does.

    Args:
        file: the recipe's.

    Raises:
        UserError: a file is not YAML or JSON.
    """
    found, results = {}, results_file(file)
    try:
        reported = OmegaConf.to_container(OmegaConf.load(file)).get("reported")
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{file}: {first_line(error)}") from error
    if reported is not None:
        found[file] = reported
    if results.exists():
        try:
            found[results] = [json.loads(results.read_bytes())]
        except ValueError as error:
            raise UserError(f"{results}: {first_line(error)}") from error
    return found


def config_of(name: str, overrides: list[str], config_dir: str | None) -> dict:
    """The checked config of an experiment with overrides, as plain values; of a cross-validation that of a fold.

    It is the first fold, if the overrides name none.
    """
    config = composed([f"experiment={name}", *overrides], config_dir)
    if folds := all_folds(config["dataset"]):
        return config_of(name, [*overrides, f"{FOLD}={folds[0]}"], config_dir)
    return settings(config)


def folds_of(name: str, overrides: list[str], config_dir: str | None) -> range:
    """The folds of an experiment that is a cross-validation (``dataset.fold=all``); empty if it is none.

    Raises:
        UserError: it does not say how many there are.
    """
    return all_folds(composed([f"experiment={name}", *overrides], config_dir)["dataset"])
