"""``effdl train``: compose and check a config, then hand it to Hydra, which calls `job` once per run."""

import itertools
import logging
import signal
from argparse import Namespace
from pathlib import Path

from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from effdl.commands.compose import composed, flags_of, settings, variations
from effdl.commands.folders import terminal
from effdl.commands.launch import call_hydra, energy_meter, quote, resume_path
from effdl.commands.sweep import sweep
from effdl.config import check_targets
from effdl.distributed import from_main, is_main, launched, main_first, together
from effdl.errors import UserError
from effdl.report.outcome import show_result
from effdl.results import DONE, RunFolder, find_unfinished, fingerprint

log = logging.getLogger(__name__)


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
    if launched():
        return together(lambda: single(flags, args, console))
    if args.multirun:
        return sweep(flags, args, console)
    return single(flags, args, console)


def refuse(message: str) -> None:
    """What the parser of flags does with a mistake."""
    raise UserError(f"train: {message} (flags: `effdl train --help` and --hydra-help)")


def single(flags: list[str], args: Namespace, console: Console) -> int:
    """One run: everything that can be wrong with it is found before its folder exists."""
    if args.multirun:
        raise UserError("-m: torchrun starts the processes of one run (a sweep calls it once for every run)")
    overrides = args.overrides
    if folder := resume_path(overrides):
        overrides = [*stored_overrides(folder), *overrides, f"hydra.run.dir={quote(folder)}", "resume=true"]
    config = composed(overrides, args.config_dir)
    plain = settings(config)
    meter = energy_meter(plain)  # starts behind the imports that follow
    run_folder, status = from_main(lambda: free_folder(config, plain, overrides))
    if status == DONE:
        console.print(f"{run_folder.path} is complete")
        if is_main():
            show_result(run_folder, console)
        return 0
    new = status is None
    if plain["resume"] and new:
        console.print("resume: no unfinished run of this config, starting a new one")
    check_targets(plain)
    from effdl.prepare import prepare
    from effdl.run import carry_out, follow

    prepared = main_first(lambda: prepare(plain))
    if not is_main():
        return follow(prepared, run_folder, meter, console)
    run_folder.check_data(prepared.data.fingerprint)
    codes = []

    def job(config: DictConfig) -> None:
        codes.append(carry_out(prepared, run_folder, meter, console))

    if new and not is_named(overrides):
        run_folder = reserved(run_folder.path)
    failed = call_hydra(flags, [*overrides, f"hydra.run.dir={quote(run_folder.path)}"], job)
    return max([failed, *codes])


def free_folder(config: DictConfig, plain: dict, overrides: list[str]) -> tuple[RunFolder, str | None]:
    """Where a run goes, and the status of the run that is there already, which may be continued."""
    folder = folder_of(config, plain, overrides)
    folder.check_free(plain, bool(plain["resume"]))
    return folder, folder.run.get("status")


def folder_of(config: DictConfig, plain: dict, overrides: list[str]) -> RunFolder:
    """Where a run goes: where it is told to, to the run that it resumes, or to a new folder."""
    path = Path(config.hydra.run.dir)
    if not is_named(overrides):
        unfinished = find_unfinished(path.parent.parent, fingerprint(plain)) if plain["resume"] else None
        path = unfinished or path
    return RunFolder(path.absolute() if config.hydra.job.chdir else path)


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
