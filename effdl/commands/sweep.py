"""``effdl train -m``: several runs. What one of them does is in `effdl.commands.jobs`."""

import math
import shlex
from argparse import Namespace
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from rich.console import Console

from effdl.commands import config_folder
from effdl.commands.compose import composed, parse, settings, values_of, variants, variations
from effdl.commands.jobs import job
from effdl.commands.launch import call_hydra, energy_meter, quote, register, resume_path
from effdl.config import check_targets
from effdl.errors import UserError
from effdl.report.sweep_progress import SweepProgress
from effdl.report.sweep_table import summary, sweep_table
from effdl.results import DONE, STOPPED
from effdl.sweeps import JOBS_FILE, SKIPPED, Sweep, find, identity, jobs_of


def sweep(flags: list[str], args: Namespace, console: Console) -> int:
    """Run every job of a sweep that is not done; 0 if all are done then.

    Raises:
        UserError: something is wrong with the configs, found before the first run.
    """
    if folder := resume_path(args.overrides):
        raise UserError(f"resume={folder} names one run: with -m, allowed is resume=true, in the folder of the sweep")
    first = composed(next(variations(args.overrides)), args.config_dir)
    resume = settings(first)["resume"]
    check_sweeper(first, args.overrides)
    place = folder_of(first, args, bool(resume), console)
    own = [Path(args.config_dir)] if args.config_dir else []
    folders = (place.frozen() if resume else []) or [*own, config_folder()]
    check(args.overrides, *folders)
    jobs_file, (*own, configs) = place.launch(args.overrides, folders)
    flags = [*without_config_dir(flags), *(["--config-dir", str(own[0])] if own else [])]
    console.print(f"sweep: {place.path}", highlight=False, soft_wrap=True)
    swept = [override for override in parse(args.overrides) if override.is_sweep_override()]
    keys = [override.get_key_element().lstrip("+~") for override in swept]
    total = number_of_jobs(swept, first)
    with SweepProgress(console, jobs_file, total, keys):
        code = launch(flags, [*args.overrides, *inner(place, jobs_file)], configs, console)
    rows = jobs_of(jobs_file)
    if rows:
        console.print(sweep_table(rows, keys))
    console.print(summary(rows, total), highlight=False, soft_wrap=True)
    show_found(place.path, console)
    if code == 0 and all(row.get("status") in (DONE, SKIPPED, STOPPED) for row in rows):
        return 0
    if code or "n_trials" not in first.hydra.sweeper:  # a trial that failed is not repeated
        console.print(f"to continue: {command(args, place.path)}", highlight=False, soft_wrap=True)
    return code or 1


def launch(flags: list[str], overrides: list[str], configs: Path, console: Console) -> int:
    """Let Hydra's sweeper and launcher do their part; returns the exit code."""
    try:
        return call_hydra(flags, overrides, job, configs)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # a launcher whose worker was killed, or a cluster that refused
        console.print(f"effdl: the launcher gave up: {type(error).__name__}: {error}", style="red", soft_wrap=True)
        return 1


def inner(place: Sweep, jobs_file: Path) -> list[str]:
    """The overrides that tell every job where it is, in whichever process and folder it runs."""
    return [
        f"hydra.sweep.dir={quote(place.path.absolute())}",
        f"++hydra.job.env_set.{JOBS_FILE}={quote(jobs_file.absolute())}",
    ]


def command(args: Namespace, path: Path) -> str:
    """What to type to continue the sweep."""
    own = [override for override in args.overrides if not override.startswith("resume=")]
    config_dir = ["--config-dir", args.config_dir] if args.config_dir else []
    return shlex.join(["effdl", "train", "-m", *config_dir, *own, *named(own, path), "resume=true"])


def check_sweeper(config: DictConfig, overrides: list[str]) -> None:
    """Make our sweepers known to Hydra, and check what they are asked.

    They are not imported before Hydra has looked for its plugins, since that loads the classes they are made of.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    from effdl.commands.grid_sweeper import GridSweeper
    from effdl.commands.optuna_sweeper import prepare_sweep

    register(GridSweeper)
    prepare_sweep(config.hydra.sweeper, parse(overrides))


def show_found(folder: Path, console: Console) -> None:
    """What an optimization found, if the sweep was one."""
    from effdl.commands.optuna_sweeper import show

    show(folder, console)


def folder_of(config: DictConfig, args: Namespace, resume: bool, console: Console) -> Sweep:
    """Where the sweep goes: where it is told to, to the sweep that it resumes, or to a new folder."""
    name = identity(args.overrides, args.config_dir)
    path = Path(config.hydra.sweep.dir)
    if resume and named(args.overrides, path):
        found = find(path.parent.parent, name)
        if not found:
            console.print("resume: no such sweep was launched here, starting a new one")
        path = found or path
    return Sweep(path, name)


def named(overrides: list[str], path: Path) -> list[str]:
    """The override that names the sweep's folder, unless there is one."""
    told = any(override.startswith("hydra.sweep.dir=") for override in overrides)
    return [] if told else [f"hydra.sweep.dir={path}"]


def check(overrides: list[str], *folders: Path) -> None:
    """Check every value of every swept key, and start the meter behind the imports that this needs.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    *own, configs = folders
    config_dir = str(own[0]) if own else None
    plain = [settings(config) for config in variants(overrides, config_dir, configs)]
    energy_meter(plain[0])
    for config in plain:
        check_targets(config)


def number_of_jobs(swept: list[Override], config: DictConfig) -> int:
    """How many jobs there will be."""
    if "n_trials" in config.hydra.sweeper:
        return config.hydra.sweeper.n_trials
    return math.prod(sum(1 for _ in values_of(override)) for override in swept)


def without_config_dir(flags: list[str]) -> list[str]:
    """The flags without ``--config-dir DIR``."""
    kept, skip = [], False
    for flag in flags:
        if not skip and not flag.startswith(("--config-dir", "-cd")):
            kept.append(flag)
        skip = flag in ("--config-dir", "-cd")
    return kept
