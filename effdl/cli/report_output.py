"""What ``effdl report`` gives: the table, a file, the pictures, the page, the totals."""

import argparse
import sys
from pathlib import Path

from effdl.cli.terminal import UNLIMITED, Terminal, terminal
from effdl.config.folds import FOLDS
from effdl.measure.units import TEXT
from effdl.report.compare import SCORE_COLUMNS, VIEWS, cells, column, known_columns, table
from effdl.report.folds import NOTE, CrossValidated, folds_table
from effdl.report.formats import to_csv, to_json, to_latex, to_markdown
from effdl.report.gather import Gathered
from effdl.report.naming import SPLITTING, common
from effdl.report.select import Lookup
from effdl.report.totals import lines
from effdl.utils.files import write_atomic


def show(args: argparse.Namespace, chosen: list[dict], lookup: Lookup, kept: list[dict], sums: dict, found: Gathered):
    """Everything the user asked for: the table or file, the pictures, the page, the totals."""
    if args.format == "table":
        _show_table(args, chosen, lookup, _title(args, chosen, lookup))
    else:
        _deliver(args.output, _as_file(args, chosen, lookup, kept, sums, found))
    console = terminal(stderr=args.format != "table")
    if args.group and (folds := folds_table(_cross_validated(args, chosen, kept, lookup))):
        console.print(folds)
        console.print(NOTE, highlight=False, soft_wrap=True)
    for line in [*_repetitions(chosen), *lines(sums)]:
        console.print(line, highlight=False, soft_wrap=True)
    if args.plots:
        from effdl.report.plots.pictures import pictures  # matplotlib takes long to import
        from effdl.report.plots.published import datasets

        args.plots.mkdir(parents=True, exist_ok=True)
        for path in pictures(kept, args.plots, args.published):
            console.print(f"picture: {path}", highlight=False, soft_wrap=True)
        if args.published and not {row["dataset"] for row in kept} & set(datasets()):
            console.print(f"--published: there are values of {', '.join(datasets())} only", highlight=False)
    if args.html:
        _deliver(args.html, _as_page(args, kept, sums))
        console.print(f"page: {args.html}", highlight=False, soft_wrap=True)


def _cross_validated(
    args: argparse.Namespace, groups: list[dict], kept: list[dict], lookup: Lookup
) -> list[CrossValidated]:
    """The groups whose runs are of several folds, with the row of each run and its fold."""
    found = []
    for group in groups:
        members = [row for row in kept if row["folder"] in group["folders"] and row["stage"] == group["stage"]]
        configured = [(lookup.runs[row["run"] - 1].config, row) for row in members]
        pairs = [
            (tuple(config.get(key) for key in SPLITTING), row)
            for config, row in configured
            if config.get(FOLDS) is not None
        ]
        name = group["name"] if args.stages == "last" else f"{group['name']}, {group['stage']}"
        if len((entry := CrossValidated(name, pairs)).folds) > 1:
            found.append(entry)
    return found


def _repetitions(chosen: list[dict]) -> list[str]:
    """Which runs of the groups were left out, since another has their config and seed."""
    left_out = list(dict.fromkeys(folder for row in chosen for folder in row.get("repeated", [])))
    if not left_out:
        return []
    named = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return [f"n counts seeds and folds; left out, as a later run has the same config: {named}"]


def _title(args: argparse.Namespace, chosen: list[dict], lookup: Lookup) -> str:
    """How many rows of what, and the model and data set that no name tells as all runs have the same."""
    what = ("group" if args.group else "row") + ("" if len(chosen) == 1 else "s")
    title = f"{len(chosen)} {what} of {', '.join(map(str, args.folders))}"
    shared = common([lookup.runs[row["run"] - 1].settings for row in chosen])
    return f"{title} ({shared})" if shared and len(chosen) > 1 else title


def _as_page(args: argparse.Namespace, kept: list[dict], sums: dict) -> str:
    """The page, with every stage of the runs that are in the table."""
    from effdl.report.page import page

    runs = len({row["run"] for row in kept})
    title = f"{runs} run{'' if runs == 1 else 's'} of {', '.join(map(str, args.folders))}"
    return page(kept, dict(line.split(": ", 1) for line in lines(sums)), title)


def _keys_of(args: argparse.Namespace, lookup: Lookup) -> list[str]:
    """The keys of the columns that are asked for, or of the view."""
    if args.columns:
        return [lookup.resolve(name) for name in args.columns.split(",")]
    view = VIEWS[args.scores if args.scores in VIEWS and args.scores != "all" else args.stages]
    extra = [*(["status"] if args.all else []), *(["n"] if args.group else [])]
    return [view[0], *extra, *view[1:], *(SCORE_COLUMNS if args.scores == "all" else ())]


def _show_table(args: argparse.Namespace, chosen: list[dict], lookup: Lookup, title: str) -> None:
    """The table on the terminal, or as text in a file: there as wide as it is."""
    columns = [column(key) for key in _keys_of(args, lookup)]
    if not args.columns:
        columns = known_columns(chosen, columns, lookup)
    sorted_by = lookup.resolve(args.sort.removeprefix("-")) if args.sort else None
    staying = [shown.key for shown in columns if args.columns or shown.key == sorted_by]
    shown = table(columns, cells(chosen, columns, lookup), title, staying=staying, constants=not args.columns)
    if not args.output:
        terminal().print(shown)
        return
    console = Terminal(width=UNLIMITED)
    with console.capture() as capture:
        console.print(shown)
    _deliver(args.output, capture.get())


def _as_file(
    args: argparse.Namespace, chosen: list[dict], lookup: Lookup, kept: list[dict], sums: dict, found: Gathered
) -> str:
    """The comparison in the format of a file."""
    if args.format == "html":
        return _as_page(args, kept, sums)
    if args.format in ("csv", "json") and args.columns:
        chosen = [{key: lookup(row, key) for key in _keys_of(args, lookup)} for row in chosen]
    if args.format == "csv":
        return to_csv(chosen)
    if args.format == "json":
        return to_json(chosen, sums, found.damaged)
    columns = [column(key) for key in _keys_of(args, lookup)]
    columns = columns if args.columns else known_columns(chosen, columns, lookup)
    write = to_markdown if args.format == "markdown" else to_latex
    header, right = [shown.heading for shown in columns], [shown.unit is not TEXT for shown in columns]
    return write(header, cells(chosen, columns, lookup), right)


def _deliver(path: Path | None, text: str) -> None:
    """Write to a file, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
