"""``effdl evaluate FOLDER``: rebuild the model of a run from its folder alone and measure it again."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from effdl.errors import UserError
from effdl.files import read_rows
from effdl.results import RunFolder

EXAMPLES = """\
Examples:
  effdl evaluate outputs/2026-01-31/12-00-00             the test split, everything measured again
  effdl evaluate outputs/2026-01-31/12-00-00 --layers    a table of the layers too
  effdl evaluate outputs/2026-01-31/12-00-00 --split val
  effdl evaluate my_run --root ~/data                    the data set lies elsewhere now
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = parse(arguments)
    folder = RunFolder(args.folder)
    if not folder.run:
        raise UserError(f"{args.folder}: not a run folder (there is no run.json in it)")
    if not folder.model_file.exists():
        raise UserError(f"{args.folder}: no model is stored there yet (status {folder.run['status']})")
    console = Console(markup=False, width=None if sys.stdout.isatty() else 120)
    return evaluate(folder, args, console)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="effdl evaluate",
        description="Rebuild the model of a run from its folder alone, measure it, and compare with what the run said.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a folder that `effdl train` made")
    parser.add_argument("--layers", action="store_true", help="show every layer")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="images to use (test)")
    parser.add_argument("--root", type=Path, help="where the data set is, if it has moved")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="instead of the run's own")
    parser.add_argument("--trust", action="store_true", help="run model code that is not part of effdl")
    return parser.parse_args(arguments)


def evaluate(folder: RunFolder, args: argparse.Namespace, console: Console) -> int:
    """Measure, show, and say whether the accuracy is the one that the run recorded."""
    from effdl.data.load import load, stored
    from effdl.evaluate import load_model, measure, read_description
    from effdl.measure.layers import per_layer
    from effdl.prepare import choose_place, on_device
    from effdl.report.outcome import name_of
    from effdl.report.table import layers_table, stages_table

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
    model = load_model(folder.model_file, trusted=args.trust)
    data = load(config["dataset"])
    if data.fingerprint != run["data_fingerprint"]:
        console.print("warning: the data set is not the one of the run: its fingerprint differs")
    if getattr(data, args.split) is None:
        raise UserError(f"--split {args.split}: the run has no such split (dataset.val={config['dataset']['val']})")
    measured = measure(
        folder.model_file,
        on_device(data, place.device),
        place,
        topk=config["topk"],
        batch_size=config["eval_batch_size"],
        split=args.split,
        trusted=args.trust,
    )
    stage = read_description(folder.model_file).get("stage")
    recorded = next((row for row in read_rows(folder.stages_file) if row["stage"] == stage), None)
    if args.layers:
        console.print(layers_table(per_layer(model, (data.channels, data.image_size, data.image_size))))
    stages = [{**measured, "stage": "now"}]
    if args.split == "test" and recorded:
        stages.insert(0, {**{key: recorded.get(key) for key in measured}, "stage": f"recorded ({recorded['stage']})"})
    title = f"{name_of(config['model'])} on {name_of(config['dataset'])}"
    console.print(stages_table(stages, title, args.split))
    return compare(measured, recorded, args.split, console)


def compare(measured: dict, recorded: dict | None, split: str, console: Console) -> int:
    """Print the accuracies in full; 1 if the test accuracy differs from the recorded one."""
    tops = [key for key in measured if key.startswith("top") and measured[key] is not None]
    for key in tops:
        console.print(f"{key} = {measured[key]!r}", highlight=False)
    if split != "test":
        return 0
    if recorded is None:
        console.print("the run was cut off before it measured this model: resume it for a record")
        return 0
    differing = [key for key in tops if measured[key] != recorded.get(key)]
    for key in differing:
        console.print(f"{key} was {recorded.get(key)!r} when the run measured it", style="red", highlight=False)
    if not differing:
        console.print("the same as recorded, to the last digit")
    return 1 if differing else 0
