"""Attack effdl from outside and count the outcomes: an hour on two cores, or with --short a minute.

    python scripts/attack.py [--only uses damages ...] [--short | --limit N] [--output FILE.md] [--page]

uses     every key, flag and option with values that it cannot take
damages  every file of run folders damaged, then every command that reads them
forged   stored models whose statements are false, hostile or huge
weights  .pth files that would run code, claim more than they hold, or are damaged
kills    runs killed before every file operation, then resumed
races    two processes at one run or one sweep

An attempt is ``clean`` if it was refused by one message that names what is wrong, or accepted and honestly carried out.
Exit code 1 if any is not. The attempts run on the code of this repository, in temporary folders.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

from attacks import damaged_runs, forged, hostile_weights, kills, races, wrong_uses  # noqa: E402
from attacks.commands import warm  # noqa: E402
from attacks.lanes import play  # noqa: E402
from attacks.outcome import CLEAN, KINDS, Case, Verdict, failures, rows_of  # noqa: E402
from pages import markdown, replace_part  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402
from rich.table import Table  # noqa: E402

ATTACKS = {
    "uses": wrong_uses,
    "damages": damaged_runs,
    "forged": forged,
    "weights": hostile_weights,
    "kills": kills,
    "races": races,
}
# How many cases of each kind are tried; None: all.
SHORT = {"uses": 6, "damages": 1, "forged": 6, "weights": 2, "kills": 2, "races": 1}
LONG = {"uses": 700, "damages": 60, "forged": 250, "weights": None, "kills": None, "races": 50}
COLUMNS = ("attack", "tried", *KINDS)


def attacked(
    names: list[str], limits: dict[str, int | None], seed: int, lanes: int, console: Console
) -> Iterator[tuple[Case, Verdict]]:
    """All outcomes of these attacks, while a bar shows how far they are.

    The bar is drawn by hand: a thread of its own would be there when processes are forked.
    """
    with tempfile.TemporaryDirectory(prefix="attack.") as fixtures:
        for name in names:
            cases = ATTACKS[name].cases(Random(seed), limits[name], Path(fixtures))
            Random(seed).shuffle(cases)
            with Progress(console=console, auto_refresh=False, transient=True) as progress:
                task = progress.add_task(name, total=len(cases))
                for outcome in play(cases, lanes):
                    progress.update(task, advance=1, refresh=True)
                    yield outcome


def commit() -> str:
    """The commit that is attacked, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True).stdout.strip()
    return f"commit {short or 'unknown'}{', with changes' if changed else ''}"


def main(arguments: list[str] | None = None) -> int:
    """Attack, show, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="these attacks")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N cases of each kind (0: all)")
    parser.add_argument("--short", action="store_true", help="a few cases of each kind: a minute")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random (0)")
    parser.add_argument("--lanes", type=int, default=2, help="attempts at a time (2)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the table there")
    parser.add_argument("--page", action="store_true", help="write the table into effdl/runs/README.md")
    parser.add_argument(
        "--list-failures", type=Path, metavar="FILE", help="write there what was not clean, and how to repeat it"
    )
    args = parser.parse_args(arguments)
    warm()
    console = Console(width=None if sys.stdout.isatty() else 160)
    limits = SHORT if args.short else LONG if args.limit is None else dict.fromkeys(ATTACKS, args.limit or None)
    title, found = f"Attacks on {commit()}, seed {args.seed}", []
    with open(args.list_failures or os.devnull, "w", errors="backslashreplace", buffering=1) as file:
        for case, verdict in attacked(args.only, limits, args.seed, args.lanes, console):
            found.append((case, verdict))
            if verdict.kind != CLEAN:
                file.write(f"{case.attack}: {verdict.kind}: {verdict.why}\n  {case.command}\n")
    table = Table(*COLUMNS, title=title, title_justify="left")
    for row in rows_of(found):
        table.add_row(*row)
    console.print(table)
    written = f"{title}:\n\n{markdown(COLUMNS, rows_of(found))}"
    if args.output:
        args.output.write_text(f"{written}\n")
    if args.page:
        replace_part("effdl/runs/README.md", "attacks", written)
    return 1 if failures(found) else 0


if __name__ == "__main__":
    sys.exit(main())
