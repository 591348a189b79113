"""Reading what a run made as the base of plans: its model, and the tables of its layers, which are measured once."""

import math
from pathlib import Path
from typing import Literal

import torch
from pydantic import FiniteFloat
from rich.console import Console
from rich.progress import track
from torch import nn

from effdl.compression.sensitivity import analyse
from effdl.config.naming import option_name
from effdl.data.loader import normalized_batches
from effdl.measure.accuracy import accuracy
from effdl.measure.scores import reference_of
from effdl.models.stored import load_model, read_description
from effdl.nn.layers import weights
from effdl.runs.reopen import ReopenedRun, reopen, stored_run
from effdl.search.base import Base
from effdl.search.choices import CHANGES, Family, levels_of, tables
from effdl.search.trial import row_of
from effdl.utils.files import sha256_of
from effdl.utils.rows import Rows
from effdl.utils.shapes import Shape, read_shaped_rows

_IMAGES = 512  # training images, on which the loss of a changed layer is measured
_WORST = 1e3  # nats, of a model whose loss is larger or no number


class _Row(Shape):
    """A row of ``tables.jsonl``: the loss of a model of which one layer was changed."""

    model: str  # SHA-256 of its file
    layer: str
    change: Literal["prune", "quantize"]
    level: FiniteFloat
    loss: FiniteFloat


def read_bases(path: Path, filters: float, families: list[Family], file: Path, console: Console) -> list[Base]:
    """The model of a run with the tables of its layers, once for each family of what is done to layers.

    Args:
        filters: see `Base`.
        file: where measured losses are kept; what is there is not measured again.

    Raises:
        UserError: the run is not there, or not its data.
    """
    run = reopen(stored_run(path))
    model = load_model(run.folder.model_file).to(run.device)
    mark, rows = sha256_of(run.folder.model_file), Rows(file)
    levels, found = levels_of([option for family in families for option in family.options]), []
    known = [row.model_dump() for row in read_shaped_rows(file, _Row) if row.model == mark]
    number = len(list(weights(model))) * sum(map(len, levels.values()))
    measured = analyse(model, lambda changed: {"loss": _loss(changed, run)}, levels, known, CHANGES)
    hidden = not console.is_terminal
    for row in track(measured, f"tables of {path.name}", number, console=console, transient=True, disable=hidden):
        found.append({"model": mark, **row})
        if found[-1] not in known:
            rows.append(found[-1])
    stage = run.folder.result["stages"][-1]
    macs = {row["name"]: row["macs"] for row in run.folder.layers.read() if row["stage"] == stage["stage"]}
    base, float_bytes, row = _loss(model, run), stage["size_bytes"] / stage["params"], row_of(run.folder)
    made = [tables(model, base, found, family.options, float_bytes) for family in families]
    reference = reference_of(option_name(run.config["dataset"]))
    model, description = model.cpu(), read_description(path)
    return [
        Base(filters, row, model, description, layers, family, macs, reference=reference)
        for layers, family in zip(made, families, strict=True)
    ]


def _loss(model: nn.Module, run: ReopenedRun) -> float:
    """Mean cross entropy of a model over training images, spread evenly over the split."""
    images = run.data.train
    chosen = torch.arange(0, len(images), max(1, len(images) // _IMAGES))[:_IMAGES]
    batches = normalized_batches(images.select(chosen), run.data, run.config["eval_batch_size"], run.device)
    loss = accuracy(model, batches, (1,))["loss"]
    return min(loss, _WORST) if math.isfinite(loss) else _WORST
