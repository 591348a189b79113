"""``effdl evaluate FOLDER``: rebuild the model of a run from its folder alone and measure it again."""

import argparse
from typing import TYPE_CHECKING

from rich.console import Console

from effdl.cli.arguments import folder_parser, location, opened, parsed
from effdl.cli.terminal import terminal
from effdl.measure.metrics import accuracies
from effdl.utils.errors import UserError

if TYPE_CHECKING:
    from effdl.runs.reopen import ReopenedRun

_EXAMPLES = """\
Examples:
  effdl evaluate outputs/2026-01-31/12-00-00             the test split, everything measured again
  effdl evaluate outputs/2026-01-31/12-00-00 --layers    a table of the layers too
  effdl evaluate outputs/2026-01-31/12-00-00 --split val
  effdl evaluate my_run --classes --confusion confusion.png     which classes are taken for which
  effdl evaluate my_run --root ~/data                    the data set lies elsewhere now
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    return _evaluate(args, terminal())


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    description = "Rebuild the model of a run from its folder alone, measure it, and compare with what the run said."
    parser = folder_parser("evaluate", description, _EXAMPLES)
    parser.add_argument("--layers", action="store_true", help="show every layer")
    parser.add_argument("--classes", action="store_true", help="show the accuracy of every class")
    parser.add_argument("--confusion", metavar="FILE", type=location, help="draw the confusion matrix as a PNG there")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="images to use (test)")
    return parsed(parser, arguments)


def _evaluate(args: argparse.Namespace, console: Console) -> int:
    """Measure, show, and say whether the accuracy is the one that the run recorded."""
    if args.confusion and not args.confusion.parent.is_dir():
        raise UserError(f"--confusion {args.confusion}: there is no folder {args.confusion.parent}")
    run = opened(args, console)
    from effdl.config.instantiate import instantiate
    from effdl.config.naming import title
    from effdl.models.stored import read_description
    from effdl.report.table import layers_table, stages_table
    from effdl.runs.evaluate import evaluate as evaluate_stored
    from effdl.runs.stage import recorded

    if getattr(run.data, args.split) is None:
        raise UserError(f"--split {args.split}: the run has no such split (dataset.val={run.config['dataset']['val']})")
    found = evaluate_stored(
        run.folder.model_file,
        run.data,
        run.device,
        topk=run.config["topk"],
        batch_size=run.config["eval_batch_size"],
        metrics={key: instantiate(node) for key, node in run.config.get("metric", {}).items() if args.trust},
        split=args.split,
        channels_last=run.channels_last,
        runtime=run.runtime,
        trusted=args.trust,
    )
    layers = found.pop("layers")
    stage = read_description(run.folder.model_file).get("stage")
    before = recorded(run.folder, stage)
    if args.layers:
        console.print(layers_table(layers))
    stages = [{**found, "stage": "now"}]
    if args.split == "test" and before:
        stages.insert(0, {**{key: before.get(key) for key in found}, "stage": f"recorded ({stage})"})
    console.print(stages_table(stages, title(run.config), args.split))
    if args.classes or args.confusion:
        _classes(args, run, console)
    return _compare(found, before, args.split, console)


def _classes(args: argparse.Namespace, run: "ReopenedRun", console: Console) -> None:
    """Show how each class fares, and draw which is taken for which."""
    from effdl.data.loader import normalized_batches
    from effdl.measure.confusion import class_accuracies, confusion_matrix
    from effdl.models.stored import load_model
    from effdl.report.table import classes_table
    from effdl.utils.files import write_atomic

    model = load_model(run.folder.model_file, trusted=args.trust).to(run.device)
    batches = normalized_batches(getattr(run.data, args.split), run.data, run.config["eval_batch_size"], run.device)
    matrix = confusion_matrix(model, batches, len(run.data.classes))
    if args.classes:
        console.print(classes_table(class_accuracies(matrix), run.data.classes))
    if args.confusion:
        from effdl.report.plots.confusion import confusion

        write_atomic(args.confusion, confusion(matrix, run.data.classes, f"{run.folder.path}: {args.split} split"))
        console.print(f"picture: {args.confusion}", soft_wrap=True, highlight=False)


def _compare(found: dict, before: dict | None, split: str, console: Console) -> int:
    """Print the accuracies in full; 1 if the test accuracy differs from the recorded one."""
    tops = [key for key in accuracies(found) if found[key] is not None]
    for key in tops:
        console.print(f"{key} = {found[key]!r}", highlight=False)
    if split != "test":
        return 0
    if before is None:
        console.print("the run was cut off before it measured this model: resume it for a record")
        return 0
    differing = [key for key in tops if found[key] != before.get(key)]
    for key in differing:
        console.print(f"{key} was {before.get(key)!r} when the run measured it", style="red", highlight=False)
    if not differing:
        console.print("the same as recorded, to the last digit")
    return 1 if differing else 0
