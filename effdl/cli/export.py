"""``effdl export FOLDER``: write a run's model for a runtime, check it there on the test split and time it."""

import argparse
import json
import re
from typing import Any, Literal

from rich.console import Console

from effdl.cli.arguments import folder_parser, opened, parse_pairs, parsed
from effdl.cli.terminal import terminal
from effdl.config.schema import OPENED_THREADS
from effdl.deploy.speedup import verdict
from effdl.measure.metrics import metric
from effdl.utils.errors import UserError, nearest
from effdl.utils.files import write_json
from effdl.utils.shapes import read_shaped
from effdl.utils.table import Column, Table

_EXAMPLES = """\
KEY=VALUE:
  format      onnx (default), torch_export or executorch
  precision   fp32, fp16 or int8; fp16 and int8 for onnx only (int8 if the model is quantized to it, else fp32)
  threads     of the runtime while it is timed (those of the run)
  preprocessing   true: uint8 pixels in, probabilities out, for onnx only (false: normalized images in, logits out)
  layers      true: also the time of each layer, for onnx only (false)

Examples:
  effdl export outputs/2026-01-31/12-00-00                       model.onnx
  effdl export outputs/2026-01-31/12-00-00 precision=fp16 threads=1
  effdl export outputs/2026-01-31/12-00-00 preprocessing=true    the normalization and the softmax are in the file
  effdl export outputs/2026-01-31/12-00-00 layers=true           where the time goes
  effdl export outputs/2026-01-31/12-00-00 format=torch_export   model.pt2
  effdl export outputs/2026-01-31/12-00-00 format=executorch     model.pte

The file and export.json, which says what was found out, are left in the folder. An export whose answers differ from
PyTorch's on the test split by more than its arithmetic explains is an error, and no file is left.
"""
_ROWS = (
    *("top1", "top1_difference", "argmax_agreement", "logit_difference_max", "logit_max", "probability_difference_max"),
    *("size_bytes", "latency_ms", "latency_runtime", "dense_latency_ms"),
)
_ONNX_ONLY = ("preprocessing", "layers")
_ALLOWED = {
    "format": ("onnx", "torch_export", "executorch"),
    "precision": ("fp32", "fp16", "int8"),
    **dict.fromkeys(_ONNX_ONLY, ("true", "false")),
}
_Records = dict[Literal["onnx", "torch_export", "executorch"], dict[str, Any]]  # what ``export.json`` holds


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    description = "Write the model of a run for a runtime, compare it with PyTorch on the test split, and time it."
    parser = folder_parser("export", description, _EXAMPLES)
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="see below")
    args = parsed(parser, arguments)
    return _export(args, checked(args.options), terminal())


def checked(pairs: list[str]) -> dict:
    """The options, with None for what is left to the model and the run.

    Raises:
        UserError: a key or value that is not allowed.
    """
    defaults = {"format": "onnx", "precision": None, "threads": None, **dict.fromkeys(_ONNX_ONLY, "false")}
    options = parse_pairs(pairs, defaults)
    for key, allowed in _ALLOWED.items():
        if options[key] is not None and options[key] not in allowed:
            raise UserError(f"{key}={options[key]}{nearest(options[key], allowed)} (allowed: {', '.join(allowed)})")
    threads = options["threads"]
    if threads is not None and not (re.fullmatch("[0-9]{1,4}", threads) and 1 <= int(threads) <= OPENED_THREADS):
        raise UserError(f"threads={threads}: allowed is a whole number from 1 to {OPENED_THREADS}")
    switches = {key: options[key] == "true" for key in _ONNX_ONLY}
    for key, on in switches.items():
        if on and options["format"] != "onnx":
            raise UserError(f"{key}=true format={options['format']}: allowed is format=onnx")
    return {**options, "threads": None if threads is None else int(threads), **switches}


def _export(args: argparse.Namespace, options: dict, console: Console) -> int:
    """Write, check, time, and keep and show what was found."""
    run = opened(args, console)
    record = run.folder.path / "export.json"
    known = read_shaped(record, _Records) if record.exists() else {}
    from effdl.data.loader import batches, normalized_batches
    from effdl.deploy.export import choose_precision
    from effdl.deploy.export import export as write
    from effdl.models import storage
    from effdl.models.build import build
    from effdl.models.stored import load_model, read_description
    from effdl.nn.layers import weights
    from effdl.runs.stage import recorded
    from effdl.utils.hardware import cpu_flags

    model = load_model(run.folder.model_file, trusted=args.trust)
    grids, description = storage.quant_grids(run.folder.model_file), read_description(run.folder.model_file)
    precision = choose_precision(model, grids, options["format"], options["precision"])
    rows = [recorded(run.folder, stage) for stage in ("dense", description.get("stage"))]
    compared = None not in rows and (description["stage"], precision) != ("dense", "fp32")  # not with itself
    images = (description[key] for key in ("channels", "image_size", "classes"))
    dense = build({**description["config"], "weights": None}, *images, trusted=args.trust).eval() if compared else None
    console.print(f"exporting to {options['format']} ({precision}) and checking it on the test split")
    data, size, device = run.data, run.config["eval_batch_size"], run.device

    def test_split():
        if options["preprocessing"]:
            return batches(data.test, size, order=None, device=device, drop_last=False, train=False)
        return normalized_batches(data.test, data, size, device)

    found = write(
        model,
        grids,
        data.input_shape,
        test_split,
        run.folder.path,
        format=options["format"],
        precision=precision,
        threads=options["threads"] or run.folder.run["threads"],
        inputs=data.inputs,
        preprocessing=options["preprocessing"],
        layers=options["layers"],
        metadata={"effdl": json.dumps(description)},
        dense=dense,  # its weights are not the run's, which changes no time
    )
    if compared:
        facts = {"cpu_flags": cpu_flags(), "layers": sum(1 for _ in weights(model))}
        found["verdict"] = verdict(rows[0], {**rows[1], **found}, facts)
    write_json(record, {**known, options["format"]: found})
    _show(found, f"{run.folder.path / found['file']}", console)
    return 0


def _cells(found: dict, key: str) -> tuple[str, str]:
    """What an export and PyTorch have of a metric, as text."""
    text = metric(key).text(found[key])
    if key == "latency_ms":
        text += f" ({metric(key).text(found['latency_q1_ms'])} to {metric(key).text(found['latency_q3_ms'])})"
    if key == "latency_runtime":
        count = found["latency_threads"]
        text += f", {count} thread{'s' if count > 1 else ''}"
    if key == "logit_max":
        return "", text
    return text, metric(key).text(found[f"{key}_pytorch"]) if f"{key}_pytorch" in found else ""


def _show(found: dict, title: str, console: Console) -> None:
    """The table of an export."""
    columns = [
        Column("test split, every image", wraps=True),
        Column("export", right=True),
        Column("PyTorch", right=True),
    ]
    rows = [(metric(key).label, *_cells(found, key)) for key in _ROWS if key in found]
    rows += [("arithmetic", found["arithmetic"], "")] if found.get("arithmetic") else []
    console.print(Table(columns, rows, title, constants=False))
    if "layer_times" in found:
        console.print(_layer_table(found["layer_times"]))
    console.print(f"top1 = {found['top1']!r}", highlight=False)
    if "verdict" in found:
        console.print(f"speed: {found['verdict']}", highlight=False, soft_wrap=True)


def _layer_table(times: list[dict]) -> Table:
    """The time of each layer, and its part of the whole."""
    whole = sum(row["time_us"] for row in times)
    columns = [Column("layer"), Column("kernels", wraps=True), Column("time", right=True), Column("part", right=True)]
    rows = [
        [
            row["layer"] or "before the first",
            ", ".join(dict.fromkeys(row["kernels"])),
            metric("latency_ms").text(row["time_us"] / 1000),
            f"{row['time_us'] / whole:.0%}",
        ]
        for row in times
    ]
    return Table(columns, rows, "time of each layer, with what follows it, by the profile", constants=False)
