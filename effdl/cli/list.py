"""``effdl list``: what the groups offer, each option with the first line of its file."""

from effdl.cli.arguments import command_parser, named, parsed
from effdl.cli.terminal import terminal
from effdl.config.options import config_folder, description, option_files, own_folder
from effdl.utils.errors import UserError, nearest
from effdl.utils.table import Column, Table

# What people type, and the group it means.
_GROUPS = {
    "models": "model",
    "datasets": "dataset",
    "compression": "compression",
    "experiments": "experiment",
    "optimizers": "optimizer",
    "schedulers": "scheduler",
    "augmentations": "augment",
    "devices": "device",
    "energy": "energy",
    "metrics": "metric",
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
    parser.add_argument("group", nargs="?", help=f"one of {', '.join(_GROUPS)}; all if left out")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="a folder of your own configs, listed too")
    args = parsed(parser, arguments)
    names = _GROUPS | {group: group for group in _GROUPS.values()}
    if args.group is not None and args.group not in names:
        raise UserError(f"{args.group!r} is not a group{nearest(args.group, names)} (allowed: {', '.join(_GROUPS)})")
    folders = [config_folder(), *([own_folder(args.config_dir)] if args.config_dir else [])]
    console = terminal()
    for group in [names[args.group]] if args.group else _GROUPS.values():
        if found := option_files(group, *folders):
            console.print(_table(group, {name: description(file) for name, file in found.items()}))
    return 0


def _table(group: str, found: dict[str, str]) -> Table:
    """One group."""
    return Table([Column(""), Column("", wraps=True)], list(found.items()), f"{group}=", constants=False)
