"""The command line: finds the command, which alone imports what it needs, and turns errors into messages."""

import os
import sys
from importlib import import_module

from effdl import __version__
from effdl.cli.streams import lenient_streams
from effdl.utils.errors import UserError, nearest

_HELP = """\
effdl: train, compress and honestly measure neural networks.

Usage: effdl COMMAND [ARGUMENTS]

Commands:
  train        train a model, compress it, measure it after every step
  preview      show a data set and what augmentation makes of its images
  evaluate     rebuild the model of a run folder and measure it again
  probe        linear and nearest-neighbour classifiers on the features of every part of a network
  predict      name the classes of images by a stored or exported model
  export       write a run's model for a runtime, check it there and time it
  sensitivity  prune or quantize one layer of a run's model at a time
  search       the best compressed model within bounds on accuracy, bytes, MACs or milliseconds
  report       compare runs: a table, pictures, a page to explore, scores, what it all cost
  reproduce    run committed experiments and check what they report
  card         write a model card for a run's stored model
  clean        delete the checkpoints of finished runs, failed runs and empty run folders
  push         upload a run's stored model and its card to the Hugging Face Hub
  list         show models, data sets, compression methods and the other options

Examples:
  effdl train model=resnet prune=0.5
  effdl train -m model=mlp,lenet5 prune=0.3,0.9
  effdl train model=resnet prune=0.8 quantize=int8
  effdl preview dataset=digits augment=[flip_crop,cutout]
  effdl evaluate outputs/2026-01-31/12-00-00 --layers
  effdl probe model=resnet model.weights=outputs/2026-01-31/12-00-00 dataset=digits
  effdl predict outputs/2026-01-31/12-00-00 photos
  effdl export outputs/2026-01-31/12-00-00 format=onnx
  effdl search model=resnet budget.top1=0.97 minimize=size_bytes
  effdl report outputs --html
  effdl reproduce mnist_convnet dataset.root=DIR
  effdl clean --yes
  effdl list models

`effdl COMMAND --help` says more. Tab completion: eval "$(effdl --shell-completion install=bash)" (or zsh)
"""


COMMANDS = (
    "train",
    "preview",
    "evaluate",
    "probe",
    "predict",
    "export",
    "sensitivity",
    "search",
    "report",
    "reproduce",
    "card",
    "clean",
    "push",
    "list",
)


_SHOWING = (
    None,
    "list",
    "report",
    "evaluate",
    "predict",
    "probe",
)  # commands of which nothing is left but what they print


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with lenient_streams() as output:
        code = _run(arguments)
        output.flush()
        if output.is_full:
            from effdl.cli.failures import say

            say(f"standard output: {output.lost.strerror}: not everything could be shown")
            code = code or int(_command_of(arguments) in _SHOWING)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # of torchrun
        from effdl.utils.distributed import leave, world_size

        if world_size() > 1:
            leave(code)
    return code


def _run(arguments: list[str]) -> int:
    """Run one command, and report any error."""
    try:
        return dispatch(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from effdl.cli.failures import tell

        return tell(error)


def _command_of(arguments: list[str]) -> str | None:
    """The command among the arguments: the first that is no flag."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def dispatch(arguments: list[str]) -> int:
    """Find the command among the arguments (`effdl -m train` is as good as `effdl train -m`) and run it."""
    if any(argument in ("-sc", "--shell-completion") for argument in arguments):
        from effdl.cli.completion import main as complete

        return complete(arguments, list(COMMANDS))
    command = _command_of(arguments)
    if command is None:
        if arguments in ([], ["-h"], ["--help"]):
            print(_HELP)
            return 0
        if arguments in (["-V"], ["--version"]):
            print(f"effdl {__version__}")
            return 0
        raise UserError(f"{' '.join(arguments)}: no command given (allowed: {', '.join(COMMANDS)})")
    if command not in COMMANDS:
        raise UserError(f"{command!r} is not a command{nearest(command, COMMANDS)} (allowed: {', '.join(COMMANDS)})")
    arguments = list(arguments)
    arguments.remove(command)
    return import_module(f"effdl.cli.{command}").main(arguments)
