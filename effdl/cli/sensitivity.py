"""``effdl sensitivity FOLDER``: prune or quantize one layer of a stored model at a time and see what it costs."""

import argparse
from typing import Literal

from pydantic import FiniteFloat
from rich.progress import track

from effdl.cli.arguments import folder_parser, opened, parse_numbers, parsed
from effdl.cli.terminal import terminal
from effdl.measure.metrics import metric
from effdl.utils.errors import UserError
from effdl.utils.files import sha256_of, write_atomic, write_json
from effdl.utils.rows import Rows
from effdl.utils.shapes import Shape, read_shaped_rows

_EXAMPLES = """\
Examples:
  effdl sensitivity outputs/2026-01-31/12-00-00                       the layers pruned and quantized, one at a time
  effdl sensitivity outputs/2026-01-31/12-00-00 prune=0.5,0.8,0.9 quantize=
  effdl sensitivity my_run tolerance=0.005
  effdl train model=resnet prune=0.9 compression.magnitude.amounts=my_run/amounts.json
  effdl train model=resnet quantize=4 compression.lsq.bits_file=my_run/bits.json

It leaves sensitivity.jsonl, sensitivity.png, amounts.json and bits.json in the folder; what was measured is not
measured again.
"""
_LEVELS = {"prune": [0.3, 0.5, 0.7, 0.8, 0.9, 0.95], "quantize": [8, 6, 5, 4, 3, 2]}


class _Row(Shape):
    """A row of ``sensitivity.jsonl``: the accuracy of a model of which one layer was changed."""

    split: Literal["train", "val"]
    model: str  # SHA-256 of its file
    layer: str
    change: Literal["prune", "quantize"]
    level: FiniteFloat
    top1: FiniteFloat


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    description = "Prune or quantize one layer of a run's model at a time, without fine-tuning."
    parser = folder_parser("sensitivity", description, _EXAMPLES)
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="prune=, quantize=: levels; tolerance=")
    parser.add_argument("--split", choices=("train", "val"), help="images to use (val, if the run has it, else train)")
    args = parsed(parser, arguments)
    options = parse_numbers(args.options, {**_LEVELS, "tolerance": [0.01]})
    if not all(0 <= level < 1 for level in options["prune"]):
        raise UserError(f"prune={_listed(options['prune'])}: allowed are numbers >= 0 and < 1")
    if not all(level.is_integer() and 1 < level <= 16 for level in map(float, options["quantize"])):
        raise UserError(f"quantize={_listed(options['quantize'])}: allowed are whole numbers of bits from 2 to 16")
    if not (options["prune"] or options["quantize"]):
        raise UserError("prune= quantize=: nothing to do (allowed: levels for one of the two at least)")
    if len(options["tolerance"]) != 1 or not 0 <= options["tolerance"][0] <= 1:
        allowed = "allowed is one number from 0 to 1, such as 0.01 (a point)"
        raise UserError(f"tolerance={_listed(options['tolerance'])}: {allowed}")
    return _sensitivity(args, {key: options[key] for key in _LEVELS if options[key]}, options["tolerance"][0])


def _listed(values: list[float]) -> str:
    """Numbers as they are typed."""
    return ",".join(f"{value:g}" for value in values)


def _sensitivity(args: argparse.Namespace, levels: dict[str, list[float]], tolerance: float) -> int:
    """Measure what is missing, then show and store the table, the picture and the amounts."""
    console = terminal()
    run = opened(args, console)
    from effdl.compression.sensitivity import analyse, tolerated, tolerated_bits
    from effdl.data.loader import normalized_batches
    from effdl.measure.accuracy import accuracy
    from effdl.models.stored import load_model
    from effdl.nn.layers import weights
    from effdl.report.plots.heatmap import heatmap
    from effdl.report.table import sensitivity_table

    model = load_model(run.folder.model_file, trusted=args.trust).to(run.device)
    split = args.split or ("val" if run.data.val is not None else "train")
    images = getattr(run.data, split)

    def top1(model) -> dict:
        batches = normalized_batches(images, run.data, run.config["eval_batch_size"], run.device)
        return {"top1": accuracy(model, batches, (1,))["top1"]}

    mark = {"split": split, "model": sha256_of(run.folder.model_file)}
    file = Rows(run.folder.path / "sensitivity.jsonl")
    known = [row.model_dump() for row in read_shaped_rows(file.path, _Row)]
    known = [row for row in known if {key: row[key] for key in mark} == mark]
    file.write(known)
    baseline, rows = top1(model)["top1"], []
    count = sum(map(len, levels.values())) * len(list(weights(model)))
    for row in track(analyse(model, top1, levels, known), "layers", count, console=console, transient=True):
        rows.append({**mark, **row})
        if rows[-1] not in known:
            file.append(rows[-1])
    amounts, bits = tolerated(rows, baseline, tolerance), tolerated_bits(rows, baseline, tolerance)
    console.print(
        sensitivity_table(
            rows, baseline, amounts, bits, f"{metric('top1').label} on the {split} split with one layer changed"
        )
    )
    picture = run.folder.path / "sensitivity.png"
    write_atomic(picture, heatmap(rows, baseline, str(run.folder.path)))
    console.print(f"picture: {picture}", soft_wrap=True, highlight=False)
    for name, found, meaning, use in (
        ("amounts.json", amounts, "what each layer alone can lose", "prune=FRACTION compression.magnitude.amounts"),
        ("bits.json", bits, "the fewest bits that each layer alone needs", "quantize=BITS compression.lsq.bits_file"),
    ):
        if found:
            write_json(run.folder.path / name, found)
            console.print(
                f"{name}: {meaning} at {100 * tolerance:g} points; to use it in a later run: "
                f"effdl train ... {use}={run.folder.path / name}",
                soft_wrap=True,
                highlight=False,
            )
    return 0
