"""What the commands that work on a run folder share: its arguments, and getting its data and device back."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from effdl.errors import UserError, nearest
from effdl.results import RunFolder

if TYPE_CHECKING:
    from effdl.data.load import Data
    from effdl.place import Place


@dataclass
class Opened:
    """A run's folder with its data set loaded and its device chosen."""

    folder: RunFolder
    config: dict
    data: "Data"
    place: "Place"


def terminal() -> Console:
    """Where commands print: as wide as the terminal, 120 columns elsewhere."""
    return Console(markup=False, width=None if sys.stdout.isatty() else 120)


def command_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The arguments of a command; its examples in `epilog` keep their lines."""
    return argparse.ArgumentParser(
        prog=f"effdl {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def folder_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The arguments of a command that works on a run folder: which, where its data are now, what it may execute."""
    parser = command_parser(command, description, epilog)
    parser.add_argument("folder", type=Path, help="a folder that `effdl train` made")
    parser.add_argument("--root", type=Path, help="where the data set is, if it has moved")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="instead of the run's own")
    parser.add_argument("--trust", action="store_true", help="run model code that is not part of effdl")
    return parser


def run_folder(path: Path) -> RunFolder:
    """A folder that holds a run with a stored model.

    Raises:
        UserError: it does not.
    """
    folder = RunFolder(path)
    if not folder.run:
        raise UserError(f"{path}: not a run folder (there is no run.json in it)")
    if not folder.model_file.exists():
        raise UserError(f"{path}: no model is stored there yet (status {folder.run['status']})")
    return folder


def opened(args: argparse.Namespace, console: Console) -> Opened:
    """The run of ``args.folder``, by its own config and the options of `folder_parser`.

    Raises:
        UserError: no such run, or its data or device are not there.
    """
    folder = run_folder(args.folder)
    from effdl.data.load import load, stored
    from effdl.place import choose_place
    from effdl.prepare import on_device
    from effdl.report.outcome import name_of

    run = folder.run
    config = run["config"]
    if not args.trust:
        config["dataset"] = stored(config["dataset"])
    if args.root:
        if "root" not in config["dataset"]:
            raise UserError(f"--root {args.root}: {name_of(config['dataset'])} comes with effdl and has no root")
        config["dataset"]["root"] = str(args.root.expanduser().absolute())
    place = choose_place({**config["device"], **({"name": args.device} if args.device else {})})
    if not config["device"]["threads"] and place.device.type == "cpu":
        choose_place({**config["device"], "name": "cpu", "threads": run["threads"]})
    data = load(config["dataset"])
    if data.fingerprint != run["data_fingerprint"]:
        console.print("warning: the data set is not the one of the run: its fingerprint differs")
    return Opened(folder, config, on_device(data, place.device), place)


def parse_pairs(pairs: list[str], defaults: dict[str, str]) -> dict[str, str]:
    """``KEY=VALUE`` arguments over their defaults.

    Raises:
        UserError: not of that form, or not one of the keys.
    """
    values = dict(defaults)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in defaults:
            raise UserError(f"{pair} is not a KEY=VALUE{nearest(key, defaults)} (allowed: {', '.join(defaults)})")
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
