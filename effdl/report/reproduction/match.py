"""Whether a run is one of an experiment: the same recipe, that started and learned from the same models."""

import re
from functools import cache, partial

from effdl.config.experiments import config_of, experiment_file, folds_of, stated
from effdl.config.folds import FOLD
from effdl.report.reproduction.claims import data_of, differing, stated_claims

IMAGES = "images"
RUNS = "outputs/reproduce"  # where runs of experiments are, by which a recipe names what it starts from


def experiment_of(value: object) -> tuple[str, int] | None:
    """The experiment and the seed that a path in a recipe names; None if it names none."""
    match = re.fullmatch(rf"{RUNS}/(\w+)/seed-(\d+)", str(value))
    return (match[1], int(match[2])) if match else None


def changes(name: str, point: tuple[str, ...], run: dict, config_dir: str | None) -> list[str]:
    """What makes a run another experiment than this one with the overrides `point`; empty if it is one of it.

    Of a cross-validation it may be any fold.

    Keys of the config, and `IMAGES` if the file says on which the values were measured, and the run saw others.

    Args:
        run: what its ``run.json`` says.
    """
    config = run.get("config", {})
    sample = [f"seed={seed_of(run)}"]
    if _folds_of(name, point, config_dir):
        sample.append(f"{FOLD}={fold_of(run)}")
    wanted = _config_of(name, (*point, *sample), config_dir)
    found = differing(wanted, config, partial(_same_model, run.get("models"), config_dir))
    data = _data_of(name, config_dir)
    return [*found, IMAGES] if data and run.get("data_fingerprint") not in data else found


def fold_of(run: dict) -> int:
    """The fold on which a run was validated.

    Args:
        run: what its ``run.json`` says.
    """
    return run.get("config", {}).get("dataset", {}).get("fold", 0)


def seed_of(run: dict) -> int:
    """The seed of a run, of what its ``run.json`` says."""
    return run.get("config", {}).get("seed", 0)


def lacking(runs: list[dict], folds: range) -> dict[int, list[int]]:
    """The folds of which there is no run, by seed; without seeds that have all, so empty if there are no folds."""
    there: dict[int, set[int]] = {}
    for run in runs:
        there.setdefault(seed_of(run), set()).add(fold_of(run))
    missing = {seed: [fold for fold in folds if fold not in found] for seed, found in there.items()}
    return {seed: absent for seed, absent in missing.items() if absent}


@cache
def _folds_of(name: str, point: tuple[str, ...], config_dir: str | None) -> range:
    """The folds of an experiment; composing its config takes a while."""
    return folds_of(name, list(point), config_dir)


@cache
def _config_of(name: str, overrides: tuple[str, ...], config_dir: str | None) -> dict:
    """The config of an experiment; composing it takes a while."""
    return config_of(name, list(overrides), config_dir)


@cache
def _data_of(name: str, config_dir: str | None) -> set[str]:
    """The fingerprints of the images on which an experiment's values were measured."""
    return data_of(stated_claims(stated(experiment_file(name, config_dir))))


def _same_model(models: dict[str, dict] | None, config_dir: str | None, wanted: object, found: object) -> bool:
    """Whether a run's path of a model leads to a run of the experiment and seed that the recipe's path names.

    Args:
        models: what the run says of the models that it used, see `effdl.runs.origins`. Runs of earlier versions do
            not say it: there the ends of the paths are compared.
    """
    if (experiment := experiment_of(wanted)) is None or not isinstance(found, str):
        return False
    if models is None:
        return found.endswith(f"/{wanted}")
    name, seed = experiment
    made = models.get(found) or {}
    return (made.get("config") or {}).get("seed") == seed and not changes(name, (), made, config_dir)
