"""``effdl train``: compose and check a config, then hand it to Hydra, which calls `job` once per run."""

import itertools
import json
import logging
import signal
import sys
from argparse import Namespace
from functools import cache
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from effdl.commands import config_folder
from effdl.commands.compose import composed, flags_of, settings, variations
from effdl.commands.folders import terminal
from effdl.config import check_targets
from effdl.errors import UserError
from effdl.measure.energy import EnergyMeter
from effdl.report.outcome import show_result
from effdl.results import DONE, RunFolder, find_unfinished, fingerprint

log = logging.getLogger(__name__)


@cache
def shared_meter(energy: str) -> EnergyMeter:
    """The meter of a config's JSON, one per process: it takes seconds to start, behind other work."""
    return EnergyMeter(**json.loads(energy))


def energy_meter(config: dict) -> EnergyMeter:
    """The process's meter for a run's config."""
    return shared_meter(json.dumps(config["energy"]))


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = get_args_parser()
    parser.error = refuse
    args = parser.parse_intermixed_args(arguments)
    flags = flags_of(arguments, args)
    if args.help or args.hydra_help or args.cfg or args.info:
        if args.cfg or args.info:
            composed(next(variations(args.overrides)), args.config_dir)
        return call_hydra(flags, args.overrides, lambda config: None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's "stop now" ends as cleanly as Ctrl-C
    console = terminal()
    if args.multirun:
        return sweep(flags, args, console)
    return single(flags, args, console)


def refuse(message: str) -> None:
    """What the parser of flags does with a mistake."""
    raise UserError(f"train: {message} (flags: `effdl train --help` and --hydra-help)")


def single(flags: list[str], args: Namespace, console: Console) -> int:
    """One run: everything that can be wrong with it is found before its folder exists."""
    overrides = args.overrides
    if folder := resume_path(overrides):
        overrides = [*stored_overrides(folder), *overrides, f"hydra.run.dir={quote(folder)}", "resume=true"]
    config = composed(overrides, args.config_dir)
    plain = settings(config)
    meter = energy_meter(plain)  # starts behind the imports that follow
    run_folder = folder_of(config, plain, overrides)
    run_folder.check_free(plain, bool(plain["resume"]))
    if run_folder.run.get("status") == DONE:
        console.print(f"{run_folder.path} is complete")
        show_result(run_folder, console)
        return 0
    new = not run_folder.run
    if plain["resume"] and new:
        console.print("resume: no unfinished run of this config, starting a new one")
    check_targets(plain)
    from effdl.prepare import prepare
    from effdl.run import carry_out

    prepared = prepare(plain)
    run_folder.check_data(prepared.data.fingerprint)
    codes = []

    def job(config: DictConfig) -> None:
        codes.append(carry_out(prepared, run_folder, meter, console))

    if new and not is_named(overrides):
        run_folder = reserved(run_folder.path)
    failed = call_hydra(flags, [*overrides, f"hydra.run.dir={quote(run_folder.path)}"], job)
    return max([failed, *codes])


def folder_of(config: DictConfig, plain: dict, overrides: list[str]) -> RunFolder:
    """Where a run goes: where it is told to, to the run that it resumes, or to a new folder."""
    path = Path(config.hydra.run.dir)
    if not is_named(overrides):
        unfinished = find_unfinished(path.parent.parent, fingerprint(plain)) if plain["resume"] else None
        path = unfinished or path
    return RunFolder(path.absolute() if config.hydra.job.chdir else path)


def sweep(flags: list[str], args: Namespace, console: Console) -> int:
    """Several runs, one after the other; one that fails is reported and the others go on."""
    refuse_resume(args.overrides)
    first, *others = [settings(composed(overrides, args.config_dir)) for overrides in variations(args.overrides)]
    energy_meter(first)
    for plain in (first, *others):
        check_targets(plain)
    from effdl.prepare import prepare
    from effdl.run import carry_out

    prepare(first)
    codes = []

    def job(config: DictConfig) -> None:
        folder = RunFolder(HydraConfig.get().runtime.output_dir)
        try:
            plain = settings(config)
            check_targets(plain)
            folder.check_free(plain, bool(plain["resume"]))
            if folder.run.get("status") == DONE:
                console.print(f"{folder.path} is complete", highlight=False)
                return
            prepared = prepare(plain)
            folder.check_data(prepared.data.fingerprint)
            codes.append(carry_out(prepared, folder, energy_meter(plain), console))
        except UserError as error:
            console.print(f"effdl: {error}", style="red", highlight=False)
            codes.append(2)

    failed = call_hydra(flags, args.overrides, job)
    return max([failed, *codes])


def call_hydra(flags: list[str], overrides: list[str], job) -> int:
    """Let Hydra do its part: output folders, sweeps, ``--help``, ``--cfg``, ``--info``."""
    sys.argv = ["effdl", *flags, *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")(job)()
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    return 0


def resume_path(overrides: list[str]) -> str | None:
    """FOLDER in ``resume=FOLDER``."""
    values = [override.partition("=")[2] for override in overrides if override.startswith("resume=")]
    return values[-1] if values and values[-1].lower() not in ("true", "false") else None


def stored_overrides(folder: str) -> list[str]:
    """The overrides that a run folder was made with.

    Raises:
        UserError: it is not a run folder.
    """
    file = Path(folder) / ".hydra" / "overrides.yaml"
    if not file.exists():
        raise UserError(f"resume={folder}: no run folder there (allowed: true, false, or a folder that `train` made)")
    return [override for override in OmegaConf.load(file) if not override.startswith("resume=")]


def is_named(overrides: list[str]) -> bool:
    """Whether the user says where the run goes."""
    return any(override.startswith("hydra.run.dir") for override in overrides)


def reserved(path: Path) -> RunFolder:
    """A new folder of this name, with a number behind it if another run began in the same second."""
    names = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return RunFolder(next(folder for folder in names if created(folder)))


def created(folder: Path) -> bool:
    """Create a folder; False if it was there before.

    Raises:
        UserError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise UserError(f"hydra.run.dir={folder}: {error.strerror}") from error
    return True


def refuse_resume(overrides: list[str]) -> None:
    """A sweep resumes in its own folder, which must be named.

    Raises:
        UserError: it is not, or a single run's folder is named.
    """
    if folder := resume_path(overrides):
        raise UserError(f"resume={folder} names one run: with -m, allowed is resume=true with hydra.sweep.dir=FOLDER")
    wants = any(override.lower() == "resume=true" for override in overrides)
    if wants and not any(override.startswith("hydra.sweep.dir") for override in overrides):
        raise UserError("resume=true with -m needs the folder of the sweep: add hydra.sweep.dir=FOLDER")


def quote(path: str | Path) -> str:
    """A path as a quoted string of Hydra's grammar."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
