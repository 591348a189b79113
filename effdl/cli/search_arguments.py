"""The arguments of ``effdl search``: what is asked, of which model, and where it goes."""

import argparse
import os
from pathlib import Path

from effdl.cli.arguments import command_parser, named, parsed
from effdl.cli.train import reserved
from effdl.config.compose import composed, settings
from effdl.config.overrides import key_of, readable, resume_folder, swept, value_of, without
from effdl.config.validation import check_targets
from effdl.runs.folder import DONE, RunFolder
from effdl.search.goal import METHODS, parse_goal
from effdl.utils.errors import UserError
from effdl.utils.files import check_folder

_EXAMPLES = """\
Examples:
  effdl search model=resnet budget.top1=0.97 minimize=size_bytes
  effdl search outputs/2026-01-31/12-00-00 budget.top1=dense-0.01 minimize=size_bytes limit.trials=20
  effdl search model=resnet budget.size_bytes=20e3 maximize=top1 limit.hours=0.5
  effdl search model=resnet budget.top1=0.97 budget.size_bytes=100e3 minimize=latency_ms
  effdl search model=resnet budget.macs=0.3*dense maximize=top1 compression.filters.lr_scale=0.5
  effdl search model=resnet budget.top1=0.97 minimize=course_score
  effdl search model=resnet budget.micronet_score=0.1*dense maximize=top1
  effdl search model=resnet minimize=size_bytes maximize=top1
  effdl search resume=outputs/2026-01-31/13-00-00

Two objectives, a cost and an accuracy or the loss, ask for a front: of each cost the best model. The last command goes
on with a search that was cut off. While it runs, the same command in another terminal helps it.

Metrics: top1, top5, loss, size_bytes, params_nonzero, macs_nonzero, params, macs, peak_activation_bytes, latency_ms,
course_score, micronet_score.
A bound is a number, FACTOR*dense or dense-DIFFERENCE. Accuracies are those of the validation split; what the test
split says of the model that was chosen is shown in the end.
limit.trials=12 models are trained at most; limit.hours= and limit.co2eq_g= are limits of all runs together.
storage=URL: a database for processes of several machines, such as postgresql://USER@HOST/NAME, instead of a file.
Exit code 0: the bounds hold; 1: they do not, and the nearest miss is shown; 2: a mistake in what was asked for.
"""
_NOT_VALIDATED = "dataset.val=0: a search chooses on a validation split (allowed: above 0)"
_GOAL = ("budget", "limit", "minimize", "maximize")
_CHOSEN = ("prune", "quantize", "factorize", "compression")  # what the search sets itself


def search_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments: ``dense`` is the given run or None, ``goal`` what is asked, ``overrides`` the rest;
    ``resumed`` is the folder of a search that goes on or None, and ``asked`` what its file says, or None.

    Raises:
        UserError: one is wrong.
    """
    parser = command_parser("search", "The best compressed model that keeps to bounds, found by measuring.", _EXAMPLES)
    words = (
        "a trained run, overrides of `effdl train`, budget.KEY=BOUND, minimize=KEY or maximize=KEY, limit.KEY=NUMBER"
    )
    parser.add_argument("words", nargs="*", metavar="FOLDER|KEY=VALUE", type=named, help=words)
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="a folder of your own configs")
    args = parsed(parser, arguments)
    args.storage, args.words = value_of(args.words, "storage"), without(args.words, "storage")
    args.dense = args.resumed = args.asked = None
    if folder := resume_folder(args.words):
        from effdl.search.record import read_asked

        if len(args.words) > 1 or args.config_dir:
            raise UserError(f"resume={folder}: allowed alone, or with storage=: a search goes on as it was asked")
        args.asked, args.resumed = read_asked(Path(folder)), Path(folder).absolute()
        args.words, args.config_dir = args.asked.words, args.asked.config_dir
        args.dense = args.asked.dense and Path(args.asked.dense)
    elif args.words and ("=" not in args.words[0] or os.path.isdir(args.words[0])):
        args.dense, args.words = Path(args.words[0]), args.words[1:]
    args.goal = parse_goal([word for word in args.words if key_of(word).partition(".")[0] in _GOAL])
    args.overrides = readable([word for word in args.words if key_of(word).partition(".")[0] not in _GOAL])
    _check(args.overrides)
    if "latency_ms" in args.goal.keys and not args.dense and value_of(args.overrides, "device.runtime") is None:
        args.overrides.append("device.runtime=onnx")  # where shapes count; eager PyTorch mostly starts kernels
    return args


def _check(overrides: list[str]) -> None:
    """Refuse overrides of what a search sets itself, and several values.

    Raises:
        UserError: names the override.
    """
    for override in overrides:
        if key_of(override) in _CHOSEN:
            raise UserError(f"{override}: how much to compress, and how, is what the search finds")
        group, _, rest = key_of(override).partition(".")
        if group == "compression" and rest.partition(".")[0] not in (*METHODS, "logits"):
            allowed = ", ".join(f"compression.{name}.KEY" for name in METHODS)
            raise UserError(f"{override}: a search does not use this method (allowed: {allowed})")
    if several := swept(overrides):
        raise UserError(f"{several[0].input_line}: a search is of one config (allowed: one value)")


def new_folder(args: argparse.Namespace) -> Path:
    """The folder of a new search, which is created.

    Raises:
        UserError: the overrides do not fit, or the folder cannot be written.
    """
    overrides = without(args.overrides, "compression.")
    config = composed(overrides, args.config_dir)
    if args.dense is None and config.dataset.get("val") == 0 and config.dataset.get("folds") is None:
        raise UserError(_NOT_VALIDATED)
    _check_methods(args)
    path = Path(config.hydra.run.dir)
    if value_of(overrides, "hydra.run.dir") is None:
        return reserved(path).path.absolute()
    if os.path.lexists(path) and any(path.iterdir()):
        raise UserError(f"hydra.run.dir={path}: the folder is not empty (allowed: a new one, or resume={path})")
    check_folder(path, f"hydra.run.dir={path}")
    path.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def _check_methods(args: argparse.Namespace) -> None:
    """Refuse wrong keys and values of the methods, which no run has before the dense model is trained.

    Raises:
        UserError: names the key.
    """
    others = without(args.overrides, "compression.")
    for method, level in zip(METHODS, ("prune=0.5", "prune=0.5", "quantize=4", "quantize=int8"), strict=True):
        own = [override for override in args.overrides if key_of(override).startswith(f"compression.{method}.")]
        if own:
            check_targets(settings(composed([*others, f"compression=[{method}]", level, *own], args.config_dir)))


def check_dense(path: Path) -> None:
    """Refuse a run that is not one training, done and validated.

    Raises:
        UserError: says what it is.
    """
    folder = RunFolder(path)
    if folder.run.get("status") != DONE:
        raise UserError(f"{path}: no finished run is there (allowed: a folder that `effdl train` made)")
    stages = folder.result["stages"]
    if (names := [row["stage"] for row in stages]) != ["dense"]:
        raise UserError(f"{path} has the stages {', '.join(names)}: allowed is a run that only trains (dense)")
    if stages[-1].get("val_top1") is None:
        raise UserError(_NOT_VALIDATED)
