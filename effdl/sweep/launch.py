"""Launching a sweep: its checks before the first run, its folder, and its jobs (see `effdl.sweep.job`)."""

import math
import os
import shlex
from argparse import Namespace
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from effdl.config.compose import naming_job, plain_values, settings, variants
from effdl.config.effects import check_effects, check_read
from effdl.config.hydra_app import call_sweeper, register
from effdl.config.options import config_folder
from effdl.config.overrides import parse, quote, value_of, values_of, variations, without
from effdl.config.validation import check_targets
from effdl.measure.energy import energy_meter
from effdl.sweep.folder import JOBS_FILE, Sweep, find, identity
from effdl.sweep.folds import with_all_folds
from effdl.sweep.frozen import check_frozen
from effdl.sweep.job import job
from effdl.utils.errors import BrokeOff, RunError, UserError


def first_config(args: Namespace) -> DictConfig:
    """The config of the first job. ``dataset.fold=all`` is written out in the arguments, by what that config says.

    Raises:
        UserError: an override does not fit, or all folds cannot be told.
    """
    _, first = next(variants(args.overrides, args.config_dir))
    overrides = with_all_folds(args.overrides, first.dataset, grid="n_trials" not in first.hydra.sweeper)
    if overrides == args.overrides:
        return first
    args.overrides = overrides
    return next(variants(overrides, args.config_dir))[1]


def check_sweep(first: DictConfig, args: Namespace, *folders: Path) -> None:
    """Check what the sweeper is asked and the `variants`, with the meter starting behind the imports.

    Args:
        first: config of the first job.
        folders: of the configs, the shipped ones last.

    Raises:
        UserError: names the key, its value, what is allowed, and the job.
    """
    # Not imported before Hydra has looked for its plugins, since that loads the classes that these are made of.
    from effdl.sweep.grid_sweeper import GridSweeper
    from effdl.sweep.optuna_sweeper import check_sweeper_options

    register(GridSweeper)
    *own, shipped = folders
    config_dir = str(own[0]) if own else None
    jobs, plain, configs = [], [], []
    for label, config in variants(args.overrides, config_dir, shipped):
        with naming_job(label):
            plain.append(settings(config))
        jobs.append(label)
        configs.append(config)
    check_effects(args.overrides, map(plain_values, configs))
    check_sweeper_options(first.hydra.sweeper, parse(args.overrides), plain)
    _check_launcher(first.hydra.launcher)
    _check_folder_name(first.hydra.sweep)
    energy_meter(plain[0])
    for label, config in zip(jobs, plain, strict=True):
        with naming_job(label):
            check_targets(config)
    check_read(args.overrides, plain)


def _check_launcher(launcher: DictConfig) -> None:
    """Refuse (UserError) to launch no job at a time, which joblib finds out when the first is launched."""
    if launcher.get("n_jobs") == 0:
        raise UserError("hydra.launcher.n_jobs=0: allowed is a whole number but 0 (-1: as many as there are cores)")


def _check_folder_name(sweep: DictConfig) -> None:
    """Refuse (UserError) a name of the jobs' folders that no file system takes."""
    try:
        os.lstat(str(sweep.subdir))
    except (OmegaConfBaseException, FileNotFoundError, NotADirectoryError):
        pass  # it refers to what only a job knows, or it is new
    except OSError as error:
        raise UserError(f"hydra.sweep.subdir={sweep.subdir}: {error.strerror}") from error


def sweep_folder(config: DictConfig, args: Namespace, resume: bool) -> tuple[Sweep, bool]:
    """Where the sweep goes: where it is told to, to the sweep that it resumes, or to a new folder; if it is new."""
    name = identity(args.overrides, args.config_dir)
    path = Path(config.hydra.sweep.dir)
    found = find(path.parent.parent, name) if resume and value_of(args.overrides, "hydra.sweep.dir") is None else path
    return Sweep(found or path, name), found is None


def config_folders(sweep: Sweep, args: Namespace, resume: bool) -> list[Path]:
    """Where the configs are: in the copies that a resumed sweep was launched with, or the user's and the shipped.

    Raises:
        UserError: the copies name other code.
    """
    folders = [*([Path(args.config_dir)] if args.config_dir else []), config_folder()]
    copies = sweep.frozen() if resume else []
    if copies and not args.trust:
        check_frozen(copies, folders)
    return copies or folders


def launch(sweep: Sweep, jobs_file: Path, copies: list[Path], overrides: list[str]) -> int:
    """Let Hydra's sweeper and launcher run the jobs; returns the exit code.

    Raises:
        RunError: the launcher gave up.
    """
    *own, configs = copies
    tasks = [override.input_line for override in parse(overrides) if not override.is_hydra_override()]
    # These overrides tell every job where it is, in whichever process and folder it runs.
    places = [
        f"hydra.sweep.dir={quote(sweep.path.absolute())}",
        f"++hydra.job.env_set.{JOBS_FILE}={quote(jobs_file.absolute())}",
        "hydra.output_subdir=null",  # a job writes nothing before it owns its folder
    ]
    try:
        return call_sweeper([*next(variations(overrides)), *places], tasks, job, str(own[0]) if own else None, configs)
    except KeyboardInterrupt:
        return 130
    except (UserError, RunError):
        raise
    except Exception as error:  # a launcher whose worker was killed, or a cluster that refused
        raise BrokeOff(f"the launcher gave up: {type(error).__name__}: {error}") from error


def number_of_jobs(swept: list[Override], config: DictConfig) -> int:
    """How many jobs there will be."""
    if "n_trials" in config.hydra.sweeper:
        return config.hydra.sweeper.n_trials
    return math.prod(sum(1 for _ in values_of(override)) for override in swept)


def command(args: Namespace, path: Path) -> str:
    """What to type to continue the sweep."""
    own = without(args.overrides, "resume")
    named = [] if value_of(own, "hydra.sweep.dir") is not None else [f"hydra.sweep.dir={path}"]
    config_dir = ["--config-dir", args.config_dir] if args.config_dir else []
    return shlex.join(["effdl", "train", "-m", *config_dir, *own, *named, "resume=true"])
