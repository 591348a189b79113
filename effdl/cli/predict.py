"""``effdl predict MODEL IMAGE...``: name the classes of images by a stored or exported model."""

import argparse
import csv
import json
import sys
from typing import TYPE_CHECKING

from effdl.cli.arguments import command_parser, location, named, parsed, whole_number
from effdl.cli.failures import say
from effdl.cli.terminal import terminal
from effdl.config.instantiate import allow_code_of
from effdl.utils.table import ALWAYS, Column, Table

if TYPE_CHECKING:
    from effdl.runs.predict import Prediction

_EXAMPLES = """\
Examples:
  effdl predict outputs/2026-01-31/12-00-00 photo.jpg photos    the likeliest classes, in a table
  effdl predict model.safetensors photos --top 1 --csv          a line per image and class
  effdl predict model.onnx photos --json                        by ONNX Runtime

Images are prepared as the test images were when the model was trained: the model says how. What cannot be read as an
image is named, and the exit code is 1.
"""
_SHOWN = 3  # classes


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parse(arguments)
    if args.config_dir:
        allow_code_of(args.config_dir)
    from effdl.runs.predict import image_files, predictions

    files, notes = image_files(args.images)
    for note in notes:
        say(note)
    show = _csv if args.csv else _json if args.json else _table
    found = list(predictions(args.model, files, top=args.top or _SHOWN, trusted=args.trust))
    show([prediction for prediction in found if prediction.error is None])
    for prediction in found:
        if prediction.error is not None:
            say(prediction.error)
    return int(any(prediction.error is not None for prediction in found))


def _parse(arguments: list[str]) -> argparse.Namespace:
    """The command's arguments."""
    parser = command_parser("predict", "Name the likeliest classes of images by a stored or exported model.", _EXAMPLES)
    parser.add_argument("model", type=location, help="a folder that `effdl train` made, a .safetensors or .onnx file")
    parser.add_argument("images", nargs="+", type=named, metavar="IMAGE", help="an image, or a folder of images")
    parser.add_argument("--top", type=whole_number(), metavar="N", help=f"how many classes of each ({_SHOWN})")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="image,rank,class,probability")
    form.add_argument("--json", action="store_true", help="a list of objects")
    parser.add_argument("--trust", action="store_true", help="run code of the model that is not part of effdl")
    parser.add_argument("--config-dir", type=named, metavar="DIR", help="where such code is")
    return parsed(parser, arguments)


def _table(found: list["Prediction"]) -> None:
    """A row per image: its likeliest class, and those behind it as far as there is room."""
    ranks = range(max((len(prediction.classes) for prediction in found), default=0))
    columns = [Column("image", wraps=True)]
    columns += [Column("class" if rank == 0 else f"number {rank + 1}", wanted=ALWAYS - rank) for rank in ranks]
    rows = []
    for prediction in found:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        rows.append([prediction.image, *(f"{name} {100 * value:.2f} %" for name, value in pairs)])
    if rows:
        terminal().print(Table(columns, rows, constants=False, more="--csv and --json show all"))


def _csv(found: list["Prediction"]) -> None:
    """A line per image and class."""
    from effdl.report.formats import csv_cell

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "class", "probability"])
    for prediction in found:
        for rank, (name, value) in enumerate(zip(prediction.classes, prediction.probabilities, strict=True), start=1):
            writer.writerow([csv_cell(prediction.image), rank, csv_cell(name), value])


def _json(found: list["Prediction"]) -> None:
    """A list with an object per image."""
    rows = []
    for prediction in found:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        rows.append({"image": prediction.image, "classes": [{"class": name, "probability": p} for name, p in pairs]})
    print(json.dumps(rows, indent=1, ensure_ascii=False))
