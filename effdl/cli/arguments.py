"""What commands share: their parsers, and the run that they work on."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from effdl.config.instantiate import allow_code_of
from effdl.utils.errors import UserError, nearest

if TYPE_CHECKING:
    from effdl.runs.reopen import ReopenedRun


def command_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The arguments of a command; its examples in `epilog` keep their lines."""
    parser = argparse.ArgumentParser(
        prog=f"effdl {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{command}: {message} (see `effdl {command} --help`)")

    parser.error = refuse
    return parser


def check_spelling(arguments: list[str], parser: argparse.ArgumentParser, see: str) -> None:
    """Refuse ``-prune=0.5``, which a parser takes for the flag -p with the value ``rune=0.5``, and the like.

    Args:
        see: where the flags are explained.

    Raises:
        UserError: names the word and what was perhaps meant.
    """
    flags = parser._option_string_actions
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        long = name.startswith("--")
        if not name.startswith("-") or name in flags or (long and not equals):
            continue
        if not (long and any(flag.startswith(name) for flag in flags)):
            meant = f"; did you mean {argument.lstrip('-')}?" if equals else ""
            raise UserError(f"{argument}: {name} is not a flag{meant} ({see})")


def parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """The arguments of a command by name; flags may stand anywhere.

    Raises:
        UserError: names what is wrong.
    """
    check_spelling(arguments, parser, f"see `{parser.prog} --help`")
    return parser.parse_intermixed_args(arguments)


def named(text: str) -> str:
    """The value of an argument that must name something (argparse reports the error)."""
    if not text:
        raise argparse.ArgumentTypeError("'' names nothing")
    return text


def location(text: str) -> Path:
    """The value of an argument that names a file or folder: an empty one is not the current folder."""
    return Path(named(text))


def whole_number(most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that counts, from 1 to a number, if there is one (argparse reports the error)."""
    allowed = "a whole number >= 1" if most is None else f"a whole number from 1 to {most}"

    def count(text: str) -> int:
        number = int(text.lstrip("0")[:10] or 0) if text.isascii() and text.isdecimal() else 0
        if number < 1 or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text}: allowed is {allowed}")
        return number

    return count


def folder_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The arguments of a command that works on a run folder: which, where its data are now, what it may execute."""
    parser = command_parser(command, description, epilog)
    parser.add_argument("folder", type=location, help="a folder that `effdl train` made")
    parser.add_argument("--root", type=location, help="where the data set is, if it has moved")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="instead of the run's own")
    parser.add_argument("--trust", action="store_true", help="run code of the run's config that is not part of effdl")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="where such code is")
    return parser


def opened(args: argparse.Namespace, console: Console) -> "ReopenedRun":
    """The run of ``args.folder``, by its own config and the options of `folder_parser`.

    Raises:
        UserError: no such run, or its data or device are not there.
    """
    from effdl.runs.reopen import reopen, stored_run

    if args.config_dir:
        allow_code_of(args.config_dir)
    run = reopen(stored_run(args.folder), root=args.root, device=args.device, trusted=args.trust)
    if not run.same_data:
        console.print("warning: the data set is not the one of the run: its fingerprint differs")
    return run


def flags_of(arguments: list[str], args: argparse.Namespace) -> list[str]:
    """The arguments that are not overrides, in their order: Hydra wants them in front."""
    return [argument for argument in arguments if argument not in args.overrides]


def parse_pairs(pairs: list[str], defaults: dict[str, str | None]) -> dict[str, str | None]:
    """``KEY=VALUE`` arguments over their defaults.

    Raises:
        UserError: not of that form, or not one of the keys.
    """
    values = dict(defaults)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in defaults:
            raise UserError(f"{pair!r} is not a KEY=VALUE{nearest(key, defaults)} (allowed: {', '.join(defaults)})")
        values[key] = value
    return values


def parse_numbers(pairs: list[str], defaults: dict[str, list[float]]) -> dict[str, list[float]]:
    """``KEY=A,B`` arguments over their defaults; nothing behind the equals sign is an empty list.

    Raises:
        UserError: not of that form, or not one of the keys.
    """
    given = parse_pairs(pairs, dict.fromkeys(defaults, ""))
    named = {pair.partition("=")[0] for pair in pairs}
    try:
        found = {key: [float(part) for part in given[key].split(",") if part] for key in named}
    except ValueError as error:
        raise UserError(f"{' '.join(pairs)}: allowed are numbers with commas between them ({error})") from error
    return {**defaults, **found}
