"""``effdl search``: the best compressed model that keeps to bounds on its accuracy and its costs."""

import argparse
import functools
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from effdl.cli.search_arguments import check_dense, new_folder, search_arguments
from effdl.cli.terminal import terminal
from effdl.cli.train import train
from effdl.config.overrides import quote, value_of, without
from effdl.measure.metrics import COSTS, compared, metric
from effdl.runs.folder import RunFolder
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic
from effdl.utils.locks import locked

if TYPE_CHECKING:
    from effdl.search.base import Base
    from effdl.search.trials import Trials

_ONCE = ("epochs", "model.weights", "pretraining", "pretraining.", "early_stop", "unfreeze")  # of dense


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = search_arguments(arguments)
    console = terminal()
    if args.dense:
        check_dense(args.dense)
    folder = args.resumed or new_folder(args)
    console.print(f"search: {folder}", highlight=False, soft_wrap=True)
    if args.resumed:
        typed_in = args.asked.typed_in or "."
        with chdir(typed_in if os.path.isdir(typed_in) else "."):  # what was typed is relative to it
            return _search(args, folder, console)
    try:
        from effdl.search.record import new_asked, write_asked

        args.asked = new_asked(args.words, args.dense, args.config_dir, args.storage)
        write_asked(folder, args.asked)
        return _search(args, folder, console)
    except UserError:
        if not any(folder.glob("*/run.json")):  # nothing could begin
            shutil.rmtree(folder)
            if value_of(args.overrides, "hydra.run.dir") is None:
                with suppress(OSError):  # they hold other runs
                    for path in (folder.parent, folder.parent.parent):  # outputs/DAY
                        path.rmdir()
        raise


def _search(args: argparse.Namespace, folder: Path, console: Console) -> int:
    """Train the dense model if none is given, search, and show what was found."""
    from effdl.config.stored import stored_config
    from effdl.search.choices import families_of
    from effdl.search.dry_runs import DryRuns
    from effdl.search.front import FrontStrategy
    from effdl.search.measured import read_bases
    from effdl.search.models import Models
    from effdl.search.plan import Plan
    from effdl.search.record import open_study, write_found
    from effdl.search.strategy import Strategy
    from effdl.search.trial import Trial, cost_of, row_of
    from effdl.search.trials import Trials

    def run(overrides: list[str]) -> Path:
        return train(overrides, config_dir=args.config_dir, quiet=not console.is_terminal)

    def tell(trial: Trial) -> None:
        from effdl.search.answer import line_of

        write_found(folder, trials)
        console.print(line_of(trial, goal), highlight=False, soft_wrap=True)

    def wait(names: Sequence[str]) -> None:
        console.print(f"waiting for {', '.join(names)} of another process", highlight=False)

    @functools.cache
    def bases(path: Path, filters: float) -> "list[Base]":
        with _one_at_a_time(folder / "tables.lock", console):
            return read_bases(path, filters, families_of(goal.keys, runtime), folder / "tables.jsonl", console)

    def afresh(path: Path, filters: float = 0.0) -> "list[Base]":
        return [base.afresh() for base in bases(path, filters)]

    @functools.cache
    def dry_run(filters: float, int8: bool) -> dict:
        with _one_at_a_time(folder / "tables.lock", console):
            return dry_runs.row(Plan(filters=filters, int8=int8))

    def go() -> None:
        first = [replace(base, row=row) for base in afresh(dense.path)]
        models = Models(trials, first, lambda plan: dry_run(plan.filters, plan.int8))
        strategy = FrontStrategy if goal.against else Strategy
        strategy(models, lambda trial: afresh(trial.folder, trial.plan.filters)).go()

    with _one_at_a_time(folder / "dense.lock", console):
        study = open_study(folder, args.asked, args.storage)
        dense = RunFolder(args.dense or run(_dense_overrides(args, folder)))
    check_dense(dense.path)
    timed_in = stored_config(dense.run["config"])["device"]["runtime"]
    runtime = value_of(args.overrides, "device.runtime") or timed_in
    row = row_of(dense)
    if runtime != timed_in:
        row["latency_ms"] = None  # of another runtime than all that it would be compared with
    goal = args.goal.resolved(row)
    before = {} if args.dense else cost_of(dense.result["stages"])
    epochs = max(1, dense.run["config"]["epochs"] // 2)
    trials = Trials(run, folder, goal, _common(args, dense), epochs, tell, study, before)
    dry_runs = DryRuns(
        dense.path,
        lambda plan: trials.overrides_of(plan, folder / "plans", {}, taught=False),
        args.config_dir,
        "latency_ms" in goal.keys,
        folder / "dry_runs.jsonl",
    )
    trials.settle(go, wait)
    write_found(folder, trials, ended=True)
    return _show(trials, row, console)


def _dense_overrides(args: argparse.Namespace, folder: Path) -> list[str]:
    """The overrides of the run that trains the dense model."""
    own = without(args.overrides, "hydra.run.dir", "compression.")
    return [*own, f"hydra.run.dir={quote(folder / 'dense')}", "resume=true"]


@contextmanager
def _one_at_a_time(lock: Path, console: Console) -> Iterator[None]:
    """Let one process of a search in; the others wait."""
    with ExitStack() as stack:
        if not stack.enter_context(locked(lock)):
            console.print(f"waiting for another process ({lock.stem})", highlight=False)
            stack.enter_context(locked(lock, wait=True))
        yield


def _common(args: argparse.Namespace, dense: RunFolder) -> list[str]:
    """The overrides of all runs that begin with the dense model."""
    own = without(args.overrides, "hydra.run.dir")
    trained = without([*(dense.overrides if args.dense else []), *own], "hydra.", *_ONCE)
    return [*trained, "epochs=0", f"model.weights={quote(dense.path.absolute())}"]


def _show(trials: "Trials", dense: dict, console: Console) -> int:
    """Show the answer; returns the exit code."""
    from effdl.search.answer import answer_table, front_table, scatter
    from effdl.search.trial import cost_of
    from effdl.sweep.front import front_picture

    shown = trials.best or trials.nearest
    if shown is None:
        console.print("no model could be trained: see the folders of the trials", style="red")
        return 1
    stages = RunFolder(shown.folder).result["stages"]
    if trials.goal.against and trials.front:
        console.print(front_table(trials, dense))
    else:
        console.print(answer_table(trials, dense, stages[-1]))
    enough = trials.goal.holds(dense)
    if not trials.best and enough:
        console.print("none of them keeps to all bounds, but the dense model does", highlight=False)
    elif not trials.best:
        worst = trials.goal.worst(shown.row)
        console.print(
            f"no model keeps to all bounds; of the nearest, budget.{worst.key} is missed by most", style="red"
        )
    console.print(compared(len(trials.models), "validation"), highlight=False)
    own = cost_of(stages)
    texts = [f"{metric(key).text(trials.costs[key])} ({metric(key).text(own[key])})" for key in COSTS]
    shown_as = f"{shown.name}'s" if trials.goal.against else "this model's"
    console.print(f"all runs took, and in brackets {shown_as}: {', '.join(texts)}", highlight=False)
    if found := scatter(trials):
        picture = trials.folder / "front.png"
        write_atomic(picture, front_picture(found, trials.folder.name))
        console.print(f"picture: {picture}", highlight=False, soft_wrap=True)
    console.print(f"folder: {trials.folder if trials.goal.against else shown.folder}", highlight=False, soft_wrap=True)
    return 0 if trials.best or enough else 1
