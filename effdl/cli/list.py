"""``effdl list``: what the groups offer, the methods of each knob, and the keys of an option."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from effdl.cli.arguments import command_parser, named, parsed
from effdl.cli.terminal import terminal
from effdl.config.instantiate import allow_code_of
from effdl.config.option_keys import keys_of, knob_of, knobs, papers_of
from effdl.config.options import config_folder, description, option_files, own_folder
from effdl.config.schema import LEVELS
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
    "pretraining": "pretraining",
    "devices": "device",
    "energy": "energy",
    "metrics": "metric",
    "loggers": "logger",
    "sweepers": "hydra/sweeper",
}


def main(arguments: list[str]) -> int:
    """Print one group, one knob, one option, or all groups; returns the exit code."""
    parser = command_parser(
        "list",
        "Show what can be chosen, and what the keys of an option take.",
        "Examples:\n  effdl list\n  effdl list models\n  effdl list prune            the methods of a knob\n"
        "  effdl list magnitude        the keys of an option\n  effdl list datasets --config-dir my_configs",
    )
    groups = ", ".join(_GROUPS)
    parser.add_argument("what", nargs="?", help=f"{groups}, {', '.join(LEVELS)}, or an option; all groups if left out")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="a folder of your own configs, listed too")
    args = parsed(parser, arguments)
    folders = [config_folder(), *([own_folder(args.config_dir)] if args.config_dir else [])]
    if args.config_dir:
        allow_code_of(args.config_dir)
    for table in _tables(args.what, folders):
        terminal().print(table)
    return 0


def listed() -> list[str]:
    """All that can be asked for, of what is shipped."""
    options = [name for group in _GROUPS.values() for name in option_files(group, config_folder())]
    return [*dict.fromkeys([*_GROUPS, *LEVELS, *options])]


def _tables(what: str | None, folders: list[Path]) -> Iterator[Table | str]:
    """What is asked for.

    Raises:
        UserError: there is no such thing.
    """
    names = _GROUPS | {group: group for group in _GROUPS.values()}
    found = {group: option_files(group, *folders) for group in names.values()}
    options = [(group, name) for group in found for name in found[group]]
    if what is None or what in names:
        for group in [names[what]] if what else found:
            yield from _methods(found[group], LEVELS) if group == "compression" else [_table(f"{group}=", found[group])]
    elif what in LEVELS:
        yield from _methods(found["compression"], [what])
    elif chosen := [(group, name) for group, name in options if name == what]:
        for group, name in chosen:
            yield from _option(group, name, found[group][name])
    else:
        known = [*names, *LEVELS, *(name for _, name in options)]
        raise UserError(
            f"{what!r} is not listed{nearest(what, known)} (allowed: {', '.join([*_GROUPS, *LEVELS])}, or an option)"
        )


def _table(title: str, found: dict[str, Path]) -> Table:
    """Options with their descriptions."""
    rows = [(name, description(file)) for name, file in found.items()]
    return Table([Column(""), Column("", wraps=True)], rows, title, constants=False)


def _methods(found: dict[str, Path], asked: Sequence[str]) -> Iterator[Table]:
    """The methods of some knobs, and if all are asked for those that have none."""
    explained = {knob.name: knob for knob in knobs()}
    of = {name: knob_of(file) for name, file in found.items()}
    for knob in asked:
        title = f"{knob}=... {explained[knob].meaning} (allowed: {explained[knob].takes}); compression=[...] of"
        yield _table(title, {name: file for name, file in found.items() if of[name] == knob})
    if others := {name: file for name, file in found.items() if of[name] not in LEVELS and len(asked) > 1}:
        yield _table("compression=[...] of, each with a level of its own", others)


def _option(group: str, name: str, file: Path) -> Iterator[Table | str]:
    """The keys of an option, and the papers that it is from."""
    prefix = f"compression.{name}" if group == "compression" else group
    columns = [Column("key", wraps=True), Column("default"), Column("takes", wraps=True), Column("meaning", wraps=True)]
    yield Table(
        columns, [tuple(key) for key in keys_of(group, file)], f"{group}={name}: {description(file)}", constants=False
    )
    if papers := papers_of(file):
        yield "\n".join(papers)
    yield f"change one with {prefix}.KEY=VALUE"
