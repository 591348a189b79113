"""``effdl train``: compose and check a config, then hand it to Hydra, which calls `job` once per run."""

import itertools
import os
import signal
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from effdl.cli.flags import parse_arguments
from effdl.cli.sweep import sweep
from effdl.cli.terminal import terminal
from effdl.config.compose import composed, plain_values, settings
from effdl.config.effects import check_effects, check_read
from effdl.config.hydra_app import call_hydra, call_job
from effdl.config.identity import fingerprint
from effdl.config.instantiate import allow_code_of
from effdl.config.overrides import quote, resume_folder, value_of, variations
from effdl.config.restored import restored
from effdl.config.validation import check_targets
from effdl.measure.energy import energy_meter
from effdl.report.outcome import CurvesPicture, show_result
from effdl.runs.folder import DONE, STOPPED, Outcome, RunFolder
from effdl.runs.unfinished import find_unfinished
from effdl.runs.verify import verify
from effdl.training.progress import Progress
from effdl.utils.distributed import from_main, is_main, launched, main_first, together
from effdl.utils.errors import BrokeOff, RunError, UserError
from effdl.utils.files import check_folder, leaving_no_empty


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    flags, args = parse_arguments(arguments)
    if args.help or args.hydra_help or args.cfg or args.info:
        if args.overrides or args.cfg or args.info:
            composed(next(variations(args.overrides)), args.config_dir)
        return call_hydra(flags, args.overrides)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's "stop now" ends as cleanly as Ctrl-C
    console = terminal()
    if launched():
        return together(lambda: _single(flags, args, console))
    if args.multirun:
        return sweep(args, console)
    return _single(flags, args, console)


def train(overrides: list[str], *, config_dir: str | Path | None = None, quiet: bool = False) -> Path:
    """One run, from Python: what ``effdl train OVERRIDES`` does.

    Args:
        overrides: as on the command line: ``["model=mlp", "prune=0.5"]``.
        config_dir: a folder of your own configs and code.
        quiet: show nothing.

    Returns:
        The run folder; with ``resume=true`` that of the run that was continued or found complete.

    Raises:
        UserError: a mistake in the overrides, found before anything is written.
        RunError: the run failed; the folder says why, too.
    """
    flags, args = parse_arguments([*(["--config-dir", str(config_dir)] if config_dir is not None else []), *overrides])
    folder, outcome = _run_one(flags, args, terminal(quiet=quiet))
    if outcome.status not in (DONE, STOPPED):
        raise RunError(f"{folder.path}: {outcome.reason}")
    return folder.path


def _single(flags: list[str], args: Namespace, console: Console) -> int:
    """One run, and what is shown at its end; returns the exit code."""
    folder, outcome = _run_one(flags, args, console)
    if outcome.told or not is_main():
        return 0 if outcome.status == DONE else 1
    if outcome.status == DONE:
        show_result(folder, console)
    elif outcome.status == STOPPED:
        console.print(f"stopped: {outcome.reason}", highlight=False, soft_wrap=True)
    else:
        console.print(f"effdl: {outcome.reason}", style="red", highlight=False, soft_wrap=True)
    return 0 if outcome.status in (DONE, STOPPED) else 1


def _run_one(flags: list[str], args: Namespace, console: Console) -> tuple[RunFolder, Outcome]:
    """Prepare and execute a run: everything that can be wrong with it is found before its folder exists."""
    if args.multirun:
        raise UserError("-m: torchrun starts the processes of one run (a sweep calls it once for every run)")
    overrides, config, typed_in = args.overrides, None, Path.cwd()
    if path := resume_folder(overrides):
        plain = _stored_config(path, args)
        typed_in = Path(RunFolder(path).run.get("typed_in") or typed_in)
    else:
        config = composed(overrides, args.config_dir)
        plain = settings(config)
        check_effects(overrides, map(plain_values, [config]))
    meter = energy_meter(plain)  # starts behind the imports that follow
    run_folder, status = from_main(lambda: _free_folder(_folder_of(config, plain, overrides), plain))
    if status == DONE:
        console.print(f"{run_folder.path} is complete")
        return run_folder, Outcome(DONE)
    if plain["resume"] and status is None:
        console.print("resume: no unfinished run of this config, starting a new one")
    check_targets(plain)
    check_read(overrides, [plain])
    from effdl.runs.execute import check_resumable, execute, follow
    from effdl.runs.prepare import prepare_run

    prepared = main_first(lambda: prepare_run(plain, overrides, typed_in))
    if not is_main():
        follow(prepared, run_folder, meter)
        return run_folder, Outcome(DONE)
    run_folder.check_data(prepared.data.fingerprint)
    outcomes, errors = [], []

    def job(config: DictConfig | None) -> None:
        try:
            outcomes.append(execute(prepared, run_folder, meter, [Progress(console), CurvesPicture(run_folder)]))
        except KeyboardInterrupt:
            resume = f"interrupted; to continue: effdl train resume={run_folder.path}"
            console.print(resume, highlight=False, soft_wrap=True)
            raise
        except Exception as error:
            errors.append(error)

    with ExitStack() as stack:
        stack.enter_context(leaving_no_empty(run_folder.path))
        if status is None and value_of(overrides, "hydra.run.dir") is None:
            run_folder = reserved(run_folder.path)
        stack.enter_context(run_folder.owned())
        check_resumable(run_folder, plain)
        if config is None:
            job(None)
        else:
            call_job([*overrides, f"hydra.run.dir={quote(run_folder.path)}"], job, args.config_dir)
    if errors:
        raise BrokeOff(f"{run_folder.path}: the run broke off: {errors[0]!r}") from errors[0]
    return run_folder, outcomes[0]


def _stored_config(path: str, args: Namespace) -> dict:
    """The config of the run in a folder, with what is typed besides.

    Raises:
        UserError: there is no run, or it names code that may not be run.
    """
    run = RunFolder(path).run
    if not run:
        raise UserError(f"resume={path}: no run folder there (allowed: true, false, or a folder that `train` made)")
    if args.config_dir:
        allow_code_of(args.config_dir)
    return restored(run["config"], args.overrides, trusted=args.trust)


def _free_folder(folder: RunFolder, plain: dict) -> tuple[RunFolder, str | None]:
    """Where a run goes, and the status of the run that is there already, which may be continued."""
    if not os.path.lexists(folder.run_file):
        check_folder(folder.path, f"hydra.run.dir={folder.path}")
    folder.check_free(plain, bool(plain["resume"]))
    if (status := folder.run.get("status")) == DONE:
        verify(folder)
    return folder, status


def _folder_of(config: DictConfig | None, plain: dict, overrides: list[str]) -> RunFolder:
    """Where a run goes: where it is told to, to the run that it resumes, or to a new folder."""
    if config is None:
        return RunFolder(resume_folder(overrides))
    path = Path(config.hydra.run.dir)
    if value_of(overrides, "hydra.run.dir") is None:
        unfinished = find_unfinished(path.parent.parent, fingerprint(plain)) if plain["resume"] else None
        path = unfinished or path
    return RunFolder(path.absolute() if config.hydra.job.chdir else path)


def reserved(path: Path) -> RunFolder:
    """A new folder of this name, with a number behind it if another run began in the same second."""
    names = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return RunFolder(next(folder for folder in names if _created(folder)))


def _created(folder: Path) -> bool:
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
