"""``effdl list``: what the groups offer, each option with the first line of its file."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from effdl.commands import config_folder
from effdl.commands.folders import command_parser
from effdl.errors import UserError, nearest

# What people type, and the group it means.
GROUPS = {
    "models": "model",
    "datasets": "dataset",
    "compression": "compression",
    "experiments": "experiment",
    "optimizers": "optimizer",
    "schedulers": "scheduler",
    "augmentations": "augment",
    "devices": "device",
    "energy": "energy",
    "loggers": "logger",
    "sweepers": "hydra/sweeper",
}


def main(arguments: list[str]) -> int:
    """Print one group or all; returns the exit code."""
    parser = command_parser(
        "list",
        "Show what can be chosen.",
        "Examples:\n  effdl list\n  effdl list models\n  effdl list datasets --config-dir my_configs",
    )
    parser.add_argument("group", nargs="?", help=f"one of {', '.join(GROUPS)}; all if left out")
    parser.add_argument("--config-dir", type=Path, help="a folder of your own configs, listed too")
    args = parser.parse_args(arguments)
    if args.config_dir and not args.config_dir.is_dir():
        raise UserError(f"--config-dir {args.config_dir}: no such folder")
    names = GROUPS | {group: group for group in GROUPS.values()}
    if args.group is not None and args.group not in names:
        raise UserError(f"list {args.group}: not a group{nearest(args.group, names)} (allowed: {', '.join(GROUPS)})")
    folders = [config_folder(), *([args.config_dir] if args.config_dir else [])]
    console = Console(markup=False)
    for group in [names[args.group]] if args.group else GROUPS.values():
        if found := options(group, folders):
            console.print(table(group, found))
    return 0


def options(group: str, folders: list[Path]) -> dict[str, str]:
    """Options of a group and what they are, by name."""
    files = [file for folder in folders for file in sorted((folder / group).glob("*.yaml"))]
    return {file.stem: description(file) for file in files}


def description(file: Path) -> str:
    """The first comment of a config file that is not a directive."""
    comments = (line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def table(group: str, found: dict[str, str]) -> Table:
    """One group."""
    grid = Table(title=f"{group}=", title_justify="left", title_style="bold", box=None, show_header=False)
    for name, text in found.items():
        grid.add_row(f"  {name}", text)
    return grid
