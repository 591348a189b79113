"""``effdl train -m``: several runs, and what is shown of them."""

from argparse import Namespace

from rich.console import Console

from effdl.cli.failures import tell
from effdl.config.compose import settings
from effdl.config.overrides import resume_folder, swept
from effdl.report.folds import NOTE, folds_table
from effdl.runs.folder import DONE, STOPPED
from effdl.sweep.folder import SKIPPED, jobs_of
from effdl.sweep.folds import cross_validated
from effdl.sweep.front import show_front
from effdl.sweep.launch import check_sweep, command, config_folders, first_config, launch, number_of_jobs, sweep_folder
from effdl.sweep.progress import SweepProgress
from effdl.sweep.table import reasons, summary, sweep_table
from effdl.utils.errors import RunError, UserError


def sweep(args: Namespace, console: Console) -> int:
    """Run every job of a sweep that is not done; 0 if all are done then.

    Raises:
        UserError: something is wrong with the configs, found before the first run.
    """
    if folder := resume_folder(args.overrides):
        raise UserError(f"resume={folder} names one run: with -m, allowed is resume=true, in the folder of the sweep")
    first = first_config(args)
    resume = bool(settings(first)["resume"])
    place, new = sweep_folder(first, args, resume)
    if resume and new:
        console.print("resume: no such sweep was launched here, starting a new one")
    folders = config_folders(place, args, resume)
    check_sweep(first, args, *folders)
    jobs_file, copies = place.launch(args.overrides, folders)
    console.print(f"sweep: {place.path}", highlight=False, soft_wrap=True)
    several = swept(args.overrides)
    keys = [override.get_key_element().lstrip("+~") for override in several]
    total = number_of_jobs(several, first)
    with SweepProgress(console, jobs_file, total, keys):
        try:
            code = launch(place, jobs_file, copies, args.overrides)
        except RunError as error:
            code = tell(error)
    rows = jobs_of(jobs_file)
    if rows:
        console.print(sweep_table(rows, keys, str(place.path)))
    for line in reasons(rows):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(summary(rows, total), highlight=False, soft_wrap=True)
    if folds := folds_table(cross_validated(rows, keys)):
        console.print(folds)
        console.print(NOTE, highlight=False, soft_wrap=True)
    show_front(place.path, console)
    if code == 0 and all(row.get("status") in (DONE, SKIPPED, STOPPED) for row in rows):
        return 0
    if code or "n_trials" not in first.hydra.sweeper:  # a trial that failed is not repeated
        console.print(f"to continue: {command(args, place.path)}", highlight=False, soft_wrap=True)
    return code or 1
