"""``effdl reproduce NAME ...``: run committed experiments and hold the results against what their files report."""

from argparse import Namespace
from contextlib import suppress

from rich.console import Console

from effdl.cli.arguments import command_parser, location, named, parsed
from effdl.cli.experiment_runs import carried_out, existing
from effdl.cli.terminal import terminal
from effdl.config.folds import FOLD
from effdl.measure.metrics import stage_numbers, total_numbers
from effdl.report.reproduction.claims import (
    SHOWN,
    UNCLEAR,
    Claim,
    compare,
    differing,
    holds,
    measured,
    points,
    seeds_of,
    stated_claims,
)
from effdl.runs.folder import RunFolder
from effdl.utils.errors import RunError, UserError
from effdl.utils.files import write_json

_EXAMPLES = """\
Examples:
  effdl reproduce mnist_convnet dataset.root=DIR
  effdl reproduce pruned_lenet300 pruned_lenet5 dataset.root=DIR --seeds 0,1,2
  effdl reproduce --all                              the data in ./data
  effdl reproduce mnist_convnet --from outputs       check the runs there, train nothing

The runs go to outputs/reproduce/NAME/seed-N, those of a cross-validation to NAME/fold-K/seed-N. One that was cut off is
continued, one that is done is not repeated.
Exit code 0: every value that has a tolerance holds; 1: not all; 2: a mistake in what was asked for.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    from effdl.config.experiments import experiment_file, experiments, results_file, stated

    names = list(experiments(args.config_dir)) if args.all else args.names
    reported = {}
    for name in names:
        file = experiment_file(name, args.config_dir)
        if found := stated(file):
            reported[name] = stated_claims(found)
        elif not args.all:
            raise UserError(
                f"{name} reports nothing that could be checked: {file} has no key `reported`, "
                f"and there is no {results_file(file).name} beside it"
            )
    console, codes = terminal(), []
    for name, found in reported.items():
        _check_overrides(name, found, args)
        _check_subjects(name, found, args)
    for name, found in reported.items():
        try:
            codes.append(_reproduce(name, found, args, console))
        except (UserError, RunError) as error:
            if len(reported) == 1:
                raise
            console.print(f"effdl: {name}: {error}", style="red", highlight=False, soft_wrap=True)
            codes.append(2 if isinstance(error, UserError) else 1)
    return max(codes, default=0)


def _parse(arguments: list[str]) -> Namespace:
    """The command's arguments, the experiments' names apart from the overrides.

    Raises:
        UserError: no experiment is named, or `--from` goes with something that it excludes.
    """
    parser = command_parser(
        "reproduce",
        "Run committed experiments and compare the results with what their files report.",
        _EXAMPLES,
    )
    parser.add_argument("words", nargs="*", metavar="NAME|KEY=VALUE", help="experiments; where data are, which device")
    parser.add_argument("--all", action="store_true", help="every experiment that reports values")
    parser.add_argument(
        "--from", dest="folders", action="append", type=location, metavar="DIR", help="check these runs"
    )
    parser.add_argument("--seeds", type=_seeds, metavar="0,1,2", help="instead of those over which values are reported")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="a folder of your own configs")
    args = parsed(parser, arguments)
    args.names = list(dict.fromkeys(word for word in args.words if "=" not in word))
    args.overrides = [word for word in args.words if "=" in word]
    if args.all == bool(args.names):
        raise UserError("reproduce: name experiments (`effdl list experiments`) or say --all, one of the two")
    if args.folders and (args.seeds or args.overrides):
        raise UserError("--from trains nothing: --seeds and KEY=VALUE have no effect with it")
    return args


def _seeds(text: str) -> list[int]:
    """``0,1,2`` as numbers (argparse reports a ValueError)."""
    return [int(part) for part in text.split(",")]


def _check_overrides(name: str, found: list[Claim], args: Namespace) -> None:
    """Compose every point of an experiment, and refuse overrides that would make it another experiment.

    Raises:
        UserError: there is one, or the file does not compose.
    """
    from effdl.config.experiments import config_of, folds_of
    from effdl.config.overrides import key_of

    for point in points(found):
        plain, folds = config_of(name, list(point), args.config_dir), folds_of(name, list(point), args.config_dir)
        for override in args.overrides:
            key = key_of(override)
            if key == "seed" or (key == FOLD and folds) or key.startswith(("hydra.", "resume")):
                raise UserError(f"{override}: reproduce sets {key} itself (seeds: --seeds 0,1,2)")
            if changed := differing(plain, config_of(name, [*point, override], args.config_dir)):
                raise UserError(f"{override} makes {name} another experiment: it changes {', '.join(changed[:5])}")


def _check_subjects(name: str, found: list[Claim], args: Namespace) -> None:
    """Refuse what is reported of a stage or a metric that the experiment does not have, before anything is trained.

    Raises:
        UserError: there is such a value.
    """
    from effdl.compression.pipeline import stages_of
    from effdl.config.experiments import config_of

    for point in points(found):
        config = config_of(name, list(point), args.config_dir)
        stages = [stage.name for stage in stages_of(config)] + (["teacher"] if config["teacher"] else [])
        numbers = dict.fromkeys(stage_numbers(config["topk"], config["metric"]))
        nothing = {"stages": [{"stage": stage, **numbers} for stage in stages], "total": dict.fromkeys(total_numbers())}
        for claim in found:
            if point in claim.points:
                measured(claim, nothing)


def _reproduce(name: str, found: list[Claim], args: Namespace, console: Console) -> int:
    """Get the runs of one experiment, compare, show and store; returns the exit code."""
    from effdl.report.reproduction.match import IMAGES, changes
    from effdl.report.reproduction.table import reproduction_table

    if args.folders:
        runs = existing(name, found, args, console)
    else:
        chosen = args.seeds or seeds_of(found)
        runs = {point: carried_out(name, point, chosen, args, console) for point in points(found)}
    rows = compare(found, {point: [folder.result for folder in folders] for point, folders in runs.items()})
    for point, folders in runs.items():
        own = [row for row in rows if row["with"] == list(point)]
        for folder in folders:
            comparison = {"experiment": name, "holds": holds(own), "runs": [str(f.path) for f in folders], "rows": own}
            with suppress(RunError):  # with --from, the folder may be somebody else's
                write_json(folder.path / "reproduction.json", comparison)
    console.print(reproduction_table(rows, name))
    _show_folds(name, runs, args, console)
    for source in dict.fromkeys(row["source"] for row in rows if row["source"] != row["paper_source"]):
        console.print(f"reported: {source}", highlight=False, soft_wrap=True)
    for source in dict.fromkeys(row["paper_source"] for row in rows if row["paper_source"]):
        console.print(f"paper: {source}", highlight=False, soft_wrap=True)
    others = [
        folder.path
        for point, folders in runs.items()
        for folder in folders
        if IMAGES in changes(name, point, folder.run, args.config_dir)
    ]
    for path in others:
        console.print(f"{path}: its images are not those of what is reported", style="red", soft_wrap=True)
    console.print(_conclusion(name, rows, bool(others)), highlight=False)
    return 0 if holds(rows) and not others else 1


def _conclusion(name: str, rows: list[dict], other_images: bool) -> str:
    """What the comparison comes to, in a line."""
    checked = sum(row["verdict"] not in (SHOWN, UNCLEAR) for row in rows)
    unclear = sum(row["verdict"] == UNCLEAR for row in rows)
    small = f"{unclear} unclear: no larger than the tolerance" if unclear else ""
    if other_images or not holds(rows):
        return f"{name} does NOT hold ({checked} with a tolerance{small and f', {small}'})"
    if checked:
        return f"{name} holds ({checked} with a tolerance{small and f', {small}'})"
    return f"{name}: {small or 'no value has a tolerance'}"


def _show_folds(name: str, runs: dict[tuple[str, ...], list[RunFolder]], args: Namespace, console: Console) -> None:
    """Show what the folds of a cross-validation gave in the last stage, if it is one."""
    from effdl.config.experiments import folds_of
    from effdl.report.folds import NOTE, CrossValidated, folds_table
    from effdl.report.reproduction.match import fold_of

    table = folds_table(
        [
            CrossValidated(" ".join(point) or name, [(fold_of(f.run), f.result["stages"][-1]) for f in folders])
            for point, folders in runs.items()
            if folds_of(name, list(point), args.config_dir)
        ]
    )
    if table:
        console.print(table)
        console.print(NOTE, highlight=False, soft_wrap=True)
