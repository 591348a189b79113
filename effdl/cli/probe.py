"""``effdl probe``: how well the features of every part of a network tell the classes of a data set."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from effdl.cli.arguments import command_parser, location, named, opened, parsed
from effdl.cli.terminal import terminal
from effdl.config.compose import composed, settings
from effdl.config.overrides import key_of, readable, resume_folder, swept
from effdl.config.paths import located
from effdl.config.validation import check_targets
from effdl.utils.errors import UserError
from effdl.utils.files import write_atomic

if TYPE_CHECKING:
    import torch
    from torch import nn

    from effdl.data.build import Data

_EXAMPLES = """\
Examples:
  effdl probe outputs/2026-01-31/12-00-00                              a run's model on its own data
  effdl probe outputs/2026-01-31/12-00-00 dataset=kmnist dataset.root=DIR   what it learned, for other classes
  effdl probe model=torchvision model.name=resnet18 model.weights=pretrained dataset=cifar10 dataset.root=DIR
  effdl probe model=resnet                                             a network with random weights, for comparison
  effdl probe my_run --plot probe.png --csv > probe.csv

A part is the stem, a block or a layer (see configs/README.md on transfer). Classifiers learn from the training split,
the penalty of the linear one is chosen on the validation split. The network learns nothing, and no file of it changes.
"""
_OF_THE_DATA = ("dataset", "device", "eval_batch_size")
_OF_A_MODEL = (*_OF_THE_DATA, "model", "seed")


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    console = terminal()
    model, data, batch_size, device, notes = _of_config(args) if args.folder is None else _of_file(args, console)
    from effdl.report.formats import to_csv
    from effdl.report.table import probe_table
    from effdl.runs.probe import probe

    table = not (args.csv or args.json)
    for note in notes if table else ():
        console.print(note, highlight=False, soft_wrap=True)
    found = probe(model, data, batch_size, device)
    hidden = not (table and console.is_terminal)
    rows = list(track(found, "parts", console=console, transient=True, disable=hidden))
    title = f"{args.folder or ' '.join(args.overrides) or 'resnet'}: features of its parts on {data.name}"
    if args.csv:
        print(to_csv(rows), end="")
    elif args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        console.print(probe_table(rows, title))
    if args.plot:
        from effdl.report.plots.probe import probe_curves

        write_atomic(args.plot, probe_curves(rows, title))
        if table:
            console.print(f"picture: {args.plot}", highlight=False, soft_wrap=True)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments; ``folder`` is the run or the stored model, None if overrides name a model.

    Raises:
        UserError: one is wrong, or would have no effect.
    """
    description = "Linear and nearest-neighbour classifiers on the features of every part of a network."
    parser = command_parser("probe", description, _EXAMPLES)
    words = "a run folder or stored model, and overrides of `effdl train` that choose model, data and device"
    parser.add_argument("overrides", nargs="*", metavar="FOLDER|KEY=VALUE", type=named, help=words)
    parser.add_argument("--plot", metavar="FILE", type=location, help="draw the accuracies by part as a PNG there")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="a line per part, every digit")
    form.add_argument("--json", action="store_true", help="a list of objects")
    parser.add_argument("--root", type=location, help="where the data set of a run is, if it has moved")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="instead of a run's own")
    parser.add_argument("--trust", action="store_true", help="run code of the model that is not part of effdl")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="where such code is")
    args = parsed(parser, arguments)
    words, args.folder = args.overrides, None
    if words and ("=" not in words[0] or os.path.lexists(words[0])):
        args.folder, words = Path(words[0]), words[1:]
    args.overrides = readable(words)
    _check(args)
    return args


def _check(args: argparse.Namespace) -> None:
    """Refuse what has no effect, and a picture that cannot be written.

    Raises:
        UserError: names it.
    """
    allowed = _OF_A_MODEL if args.folder is None else _OF_THE_DATA
    for override in args.overrides:
        if key_of(override).partition(".")[0] not in allowed:
            of = "" if args.folder is None else f" of {args.folder}"
            raise UserError(f"{override}: has no effect on the probe{of} (allowed: {', '.join(allowed)})")
    if several := swept(args.overrides):
        raise UserError(f"{several[0].input_line}: a probe is of one config (allowed: one value)")
    if folder := resume_folder(args.overrides):
        raise UserError(f"resume={folder}: a probe continues no run")
    for flag in ("root", "device"):
        if getattr(args, flag) and (args.folder is None or args.overrides):
            raise UserError(f"--{flag} {getattr(args, flag)}: allowed for a run folder alone (here: KEY=VALUE)")
    if args.plot and (args.plot.suffix.lower() != ".png" or not args.plot.parent.is_dir() or args.plot.is_dir()):
        raise UserError(f"--plot {args.plot}: allowed is a file whose name ends with .png, in a folder that is there")


def _of_config(args: argparse.Namespace) -> "tuple[nn.Module, Data, int, torch.device, list[str]]":
    """Model, data, batch size, device and notes of overrides.

    Raises:
        UserError: they do not fit.
    """
    config = _config(args)
    import torch

    from effdl.data.build import load
    from effdl.runs.initial import initialized
    from effdl.training.device import select_device
    from effdl.utils.seeding import derive_seed

    device, data = select_device(config["device"]), load(config["dataset"])
    torch.manual_seed(derive_seed(config["seed"], "model"))
    model, data, notes = initialized(config["model"], data)
    on = device.torch_device
    return device.move(model), data.to(on), config["eval_batch_size"], on, notes


def _of_file(args: argparse.Namespace, console: Console) -> "tuple[nn.Module, Data, int, torch.device, list[str]]":
    """Model, data, batch size, device and notes of a run folder or a stored model, on its own data or on others.

    Raises:
        UserError: it is no such thing, or does not take the images.
    """
    if not args.overrides and args.folder.is_file():
        raise UserError(f"{args.folder}: a file does not say its data (allowed: dataset=... beside it)")
    from effdl.models.stored import load_model

    if not args.overrides:
        run = opened(args, console)
        model = load_model(run.folder.model_file, trusted=args.trust).to(run.device)
        return model, run.data, run.config["eval_batch_size"], run.device, []
    from effdl.data.build import load
    from effdl.models.build import dry_run
    from effdl.models.stored import read_description, read_inputs
    from effdl.runs.reopen import stored_run
    from effdl.training.device import select_device

    config = _config(args)
    file = args.folder if args.folder.is_file() else stored_run(args.folder).model_file
    description, inputs = read_description(file), read_inputs(file)
    device, node = select_device(config["device"]).torch_device, config["dataset"]
    model = load_model(file, trusted=args.trust)
    if node.get("image_size", 0) is None:  # that of the images
        node = {**node, "image_size": description["image_size"]}
    data = load(node)
    dry_run(model, str(args.folder), data.channels, data.image_size, description["classes"])
    data = data.normalized_for(inputs) if inputs else data
    return model.to(device), data.to(device), config["eval_batch_size"], device, []


def _config(args: argparse.Namespace) -> dict:
    """The checked config of the overrides, with the paths that are meant."""
    config = settings(composed(args.overrides, args.config_dir))
    check_targets(config)
    return located(config, Path.cwd())
