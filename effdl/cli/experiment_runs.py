"""The runs of an experiment for ``effdl reproduce``: carried out, or found in folders."""

from argparse import Namespace
from pathlib import Path

from rich.console import Console

from effdl.config.folds import FOLD
from effdl.config.identity import flatten
from effdl.report.reproduction.claims import Claim, points
from effdl.runs.folder import DONE, RunFolder
from effdl.utils.errors import RunError, UserError


def carried_out(
    name: str, point: tuple[str, ...], seeds: list[int], args: Namespace, console: Console
) -> list[RunFolder]:
    """The finished runs of a point: one per seed, and per fold of a cross-validation."""
    from effdl.config.experiments import folds_of

    folds = folds_of(name, list(point), args.config_dir) or [None]
    return [_one_run(name, point, seed, args, console, fold) for seed in seeds for fold in folds]


def _one_run(
    name: str, point: tuple[str, ...], seed: int, args: Namespace, console: Console, fold: int | None = None
) -> RunFolder:
    """The finished run of an experiment, after those whose models it starts or learns from.

    Args:
        fold: of an experiment that is a cross-validation.

    Raises:
        RunError: the run failed.
    """
    from effdl.cli.train import main as train
    from effdl.config.experiments import config_of
    from effdl.config.overrides import quote
    from effdl.report.reproduction.match import RUNS, changes, experiment_of

    overrides = [*point, *args.overrides, f"seed={seed}", *([] if fold is None else [f"{FOLD}={fold}"])]
    for value in flatten(config_of(name, overrides, args.config_dir)).values():
        if first := experiment_of(value):
            if first[0] == name:
                raise UserError(f"{name} needs its own result: {value}")
            if not RunFolder(value).result:
                _one_run(first[0], (), first[1], args, console)
            elif others := changes(first[0], (), RunFolder(value).run, args.config_dir):
                raise UserError(f"{name} starts from {value}, which is not a run of {first[0]}: other {others[0]}")
    below = [",".join(point).replace("/", "_")] if point else []
    below += [] if fold is None else [f"fold-{fold}"]
    folder = RunFolder(Path(RUNS).joinpath(name, *below, f"seed-{seed}"))
    if folder.run.get("status") != DONE:
        console.print(f"{name}: {' '.join(overrides)}", highlight=False, soft_wrap=True)
    flags = ["--config-dir", args.config_dir] if args.config_dir else []
    code = train([f"experiment={name}", *overrides, f"hydra.run.dir={quote(folder.path)}", "resume=true", *flags])
    if code or not folder.result:
        raise RunError(f"{name}: the run in {folder.path} failed")
    return folder


def existing(
    name: str, found: list[Claim], args: Namespace, console: Console
) -> dict[tuple[str, ...], list[RunFolder]]:
    """The finished runs below `--from`, by the overrides of the point that they are of.

    Of a cross-validation, those of the seeds of which all folds are there.

    Raises:
        UserError: no run there, or none of this experiment; names the keys that differ.
    """
    from effdl.report.reproduction.match import changes

    folders = [RunFolder(file.parent) for path in args.folders for file in sorted(path.rglob("run.json"))]
    if not folders:
        raise UserError(f"--from {' '.join(map(str, args.folders))}: no run there")
    runs, others, unfinished = {}, [], []
    for folder in folders:
        changed = {point: changes(name, point, folder.run, args.config_dir) for point in points(found)}
        point = min(changed, key=lambda point: len(changed[point]))
        if changed[point]:
            others.append(f"{folder.path} is not a run of {name}: other {', '.join(changed[point][:5])}")
        elif not folder.result:
            unfinished.append(f"{folder.path} is not complete (status {folder.run['status']})")
        else:
            runs.setdefault(point, []).append(folder)
    runs, incomplete = _with_all_folds(name, runs, args.config_dir)
    unfinished += incomplete
    if not runs:
        raise UserError("; ".join([*unfinished, *others][:3]))
    for text in unfinished:
        console.print(text, highlight=False, soft_wrap=True)
    return runs


def _with_all_folds(
    name: str, runs: dict[tuple[str, ...], list[RunFolder]], config_dir: str | None
) -> tuple[dict[tuple[str, ...], list[RunFolder]], list[str]]:
    """The runs without those whose seed lacks a fold of a cross-validation, and a text about each such seed."""
    from effdl.config.experiments import folds_of
    from effdl.report.reproduction.match import lacking, seed_of

    kept, texts = {}, []
    for point, folders in runs.items():
        missing = lacking([folder.run for folder in folders], folds_of(name, list(point), config_dir))
        for seed, folds in missing.items():
            which = " ".join([name, *point, f"seed={seed}"])
            texts.append(f"{which}: there is no run of fold {', '.join(map(str, folds))}; the others do not count")
        if complete := [folder for folder in folders if seed_of(folder.run) not in missing]:
            kept[point] = complete
    return kept, texts
