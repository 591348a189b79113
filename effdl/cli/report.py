"""``effdl report [FOLDER ...]``: compare runs in a table, a file, pictures or a page, and say what they cost."""

import argparse
from pathlib import Path

from effdl.cli.arguments import command_parser, location, parsed
from effdl.cli.failures import say
from effdl.cli.report_output import show
from effdl.report.compare import SHORT
from effdl.report.gather import Gathered, Run, gather, rows
from effdl.report.scoring import SCORES, ranked, scored
from effdl.report.select import Lookup, group, last_stages, sort, where
from effdl.report.totals import totals
from effdl.runs.folder import DONE
from effdl.utils.errors import UserError
from effdl.utils.files import check_folder

_FORMATS = ("table", "csv", "markdown", "latex", "json", "html")
_EXAMPLES = f"""\
Examples:
  effdl report                                             every run below outputs/, its last stage, and all totals
  effdl report outputs/sweep --stages all --sort size
  effdl report outputs --where model=resnet --where 'top1>=0.9' --sort -top1
  effdl report outputs --group --columns name,n,top1,size,optimizer.lr
  effdl report outputs --format csv --output runs.csv      for pandas: every key, every digit
  effdl report outputs --scores course                     one of {", ".join(SCORES)}; alone: all as columns
  effdl report outputs --plots pictures --html page.html

Columns: {", ".join(SHORT)},
or any key of result.json (macs_nonzero) or of the config (optimizer.lr, seed).
Conditions are in stored units: fractions (top1>=0.9), bytes, kWh, seconds.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    found = _gathered(args.folders)
    for path, reason in found.damaged:
        say(f"skipped {path}: {reason}")
    runs = [run for run in found.runs if args.all or run.run["status"] == DONE]
    if not runs:
        raise UserError(_nothing(args, found))
    everything = rows(runs)
    if args.scores or args.html or args.plots or args.format in ("csv", "json", "html") or _mentions_a_score(args):
        everything = scored(everything, runs)
    best = {"course": "course_score", "micronet": "micronet_score"}.get(args.scores, "top1")
    sums = totals(found, last_stages(everything), best)
    chosen = _choose(args, everything, runs)
    remaining = {row["run"] for row in chosen}
    kept = [row for row in everything if row["run"] in remaining]
    show(args, *_arrange(args, chosen, runs), kept, sums, found)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = command_parser(
        "report",
        "Compare the runs in folders, at any depth: a table, a file, pictures or a page, and totals.",
        _EXAMPLES,
    )
    parser.add_argument("folders", nargs="*", type=location, default=[Path("outputs")], help="of runs (outputs)")
    parser.add_argument("--stages", choices=("last", "all"), default="last", help="which stages of each run (last)")
    parser.add_argument("--all", action="store_true", help="unfinished and failed runs too")
    parser.add_argument("--columns", metavar="A,B", help="which columns, in which order")
    parser.add_argument("--sort", metavar="KEY", help="by this column; -KEY: descending")
    parser.add_argument("--where", metavar="CONDITION", action="append", default=[], help="KEY=VALUE, KEY<VALUE ...")
    parser.add_argument(
        "--group", action="store_true", help="mean and standard deviation over seeds and folds, and their number"
    )
    parser.add_argument("--scores", nargs="?", const="all", choices=(*SCORES, "all"), help="scores, or one of them")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="(table)")
    parser.add_argument("--output", type=location, metavar="FILE", help="write there instead of to the terminal")
    parser.add_argument("--plots", type=location, metavar="DIR", help="draw pictures there")
    parser.add_argument("--published", action="store_true", help="with --plots: published models in the pictures")
    parser.add_argument(
        "--html", type=location, nargs="?", const=Path("report.html"), metavar="FILE", help="write a page (report.html)"
    )
    args = parsed(parser, _joined(arguments))
    for option, file in (("--output", args.output), ("--html", args.html)):
        if file is not None:
            _check_file(option, file)
    if args.published and args.plots is None:
        raise UserError("--published draws published models into the pictures of --plots DIR, which is missing")
    if args.plots is not None:
        check_folder(args.plots, f"--plots {args.plots}")
    return args


def _check_file(option: str, file: Path) -> None:
    """Refuse (UserError) a file that cannot be written, before any work."""
    if file.is_dir():
        last = ", or --html last" if option == "--html" else ""
        raise UserError(f"{option} {file}: that is a folder (allowed: a file{last})")
    check_folder(file.parent, f"{option} {file}")


def _joined(arguments: list[str]) -> list[str]:
    """``--sort -top1`` as ``--sort=-top1``, or argparse takes the key for an option."""
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] == "--sort":
            found[-1] = f"--sort={argument}"
        else:
            found.append(argument)
    return found


def _gathered(folders: list[Path]) -> Gathered:
    """The runs in these folders.

    Raises:
        UserError: a folder is not there.
    """
    try:
        return gather(folders)
    except FileNotFoundError as error:
        raise UserError(f"{error}: there is no such folder") from error


def _nothing(args: argparse.Namespace, found: Gathered) -> str:
    """Why there is nothing to show."""
    where = ", ".join(map(str, args.folders))
    if not found.runs:
        return f"{where}: no runs there (a run is a folder with a run.json, which `effdl train` makes)"
    return f"{where}: none of {len(found.runs)} runs is done (--all shows them)"


def _mentions_a_score(args: argparse.Namespace) -> bool:
    """Whether an option names a column that needs more files than run.json and result.json."""
    named = " ".join([args.columns or "", args.sort or "", *args.where])
    return any(word in named for word in ("course", "micronet", "dcase", "training_", "cloud_"))


def _choose(args: argparse.Namespace, everything: list[dict], runs: list[Run]) -> list[dict]:
    """The rows of the stages that are asked for and meet all conditions.

    Raises:
        UserError: a key that is not there, or no row is left.
    """
    chosen = last_stages(everything) if args.stages == "last" or args.scores == "training_cost" else everything
    lookup = Lookup(runs, everything, SHORT)
    for condition in args.where:
        chosen = where(chosen, condition, lookup)
    if not chosen:
        raise UserError(f"--where {' --where '.join(args.where)}: no row is left")
    return chosen


def _arrange(args: argparse.Namespace, chosen: list[dict], runs: list[Run]) -> tuple[list[dict], Lookup]:
    """The rows averaged over seeds, ranked and in order, as far as asked for, and how their values are found.

    The challenge's own table is in the order of its ranks.

    Raises:
        UserError: a key that is not there.
    """
    if args.group:
        chosen = group(chosen, runs)
    if "dcase_memory_kb" in chosen[0]:
        chosen = ranked(chosen)
    lookup = Lookup(runs, chosen, SHORT)
    order = args.sort or ("dcase" if args.scores == "dcase" else None)
    return (sort(chosen, order, lookup) if order else chosen), lookup
