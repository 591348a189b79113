"""``effdl clean``: show, or delete, what finished, failed and empty runs leave behind."""

from pathlib import Path

from effdl.cli.arguments import command_parser, location, parsed
from effdl.cli.failures import say
from effdl.cli.terminal import terminal
from effdl.measure.units import size
from effdl.runs.leftovers import delete, leftovers
from effdl.utils.errors import UserError
from effdl.utils.table import Column, Table

_EXAMPLES = """\
Examples:
  effdl clean                                   show what could go below outputs
  effdl clean --yes                             delete it
  effdl clean outputs/2026-01-31 my_sweep --yes
"""
_COLUMNS = (Column("folder", wraps=True), Column("what"), Column("files", right=True), Column("size", right=True))


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = command_parser(
        "clean",
        "Show what of runs is no longer needed, or delete it with --yes: the checkpoints of finished runs, failed\n"
        "runs and empty run folders. Unfinished runs, runs that a process is at, and folders with other files are\n"
        "left alone.",
        _EXAMPLES,
    )
    parser.add_argument("folders", nargs="*", type=location, metavar="FOLDER", help="where to look (outputs)")
    parser.add_argument("--yes", action="store_true", help="delete what is shown")
    args = parsed(parser, arguments)
    roots = args.folders or [Path("outputs")]
    for root in roots:
        if not root.is_dir():
            raise UserError(f"clean: {root} is not a folder")
    found = list({item.folder.absolute(): item for root in roots for item in leftovers(root)}.values())
    rows, failed = [], False
    for item in found:
        files, freed = len(item.files), item.size_bytes
        try:
            freed = delete(item) if args.yes else freed
        except OSError as error:
            say(f"{error.filename}: {error.strerror}")
            freed, failed = None, True
        if freed is not None:
            rows.append((item, files, freed))
    total = size(sum(freed for _, _, freed in rows))
    title = f"Deleted: {total} freed" if args.yes else f"Could be deleted: {total}"
    console = terminal()
    if rows:
        cells = [[str(item.folder), item.what, str(files), size(freed)] for item, files, freed in rows]
        console.print(Table(_COLUMNS, cells, title, constants=False))
    else:
        console.print("nothing to delete", highlight=False)
    if rows and not args.yes:
        console.print("--yes deletes it", highlight=False)
    return int(failed)
