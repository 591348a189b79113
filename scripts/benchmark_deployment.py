"""How fast is a compressed ResNet-20 where it is deployed? Eager PyTorch against ONNX Runtime, float and int8.

    python scripts/benchmark_deployment.py [--threads 1] [--rounds 9]

32x32 images, batch 1. Every model is timed in a process of its own, the models taking turns, with the float model once
more in every round: what differs from it no more than that is called equal. The weights are random,
which changes no time; the steps (`int8`; `filters` down to a quarter of the MACs in multiples of 8, the same with more
taken from the first stage, whose narrow layers cost the most for each MAC, and to half of them in multiples of 16, the
channels that AVX-512 kernels work on at a time) are effdl's own. The targets
compare with eager PyTorch in its default memory layout, which is what a run reports; the other layout is shown besides.
Needs the extras onnx and prune.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from effdl.config.instantiate import instantiate
from effdl.config.options import content
from effdl.deploy.benchmark import timed
from effdl.deploy.onnx import to_onnx
from effdl.deploy.speedup import verdict
from effdl.measure.macs import macs
from effdl.measure.ratio import in_turns, median_interval
from effdl.measure.timing import MIN_ROUNDS, Rounds
from effdl.models import storage
from effdl.models.build import build
from effdl.models.structure import changes
from effdl.nn.layers import weights
from effdl.nn.parametrizations import materialize_parametrizations, quant_grids
from effdl.utils.hardware import cpu_flags

CONFIGS = Path(__file__).parent.parent / "configs" / "compression"
MODEL = {"_target_": "effdl.models.resnet.resnet", "depth": 20, "width": 1.0, "dropout": 0.0}
SHAPE, CLASSES = (3, 32, 32), 10
EAGER, LAST = "eager PyTorch", "eager, channels_last"
FP32, INT8, FILTERS, CHAIN, WIDER = "ORT fp32", "ORT int8", "ORT fp32, 1/4", "ORT int8, 1/4", "ORT int8, 1/2 in 16s"
BY_LAYER = "ORT fp32, 1/4 by layer"
AGAIN = "ORT fp32, again"
# what is at least how many times faster than what
TARGETS = [(FP32, EAGER, 3.5), (INT8, FP32, 1.5), (FILTERS, FP32, 2.3), (BY_LAYER, FP32, 2.3)]
BEST = 10  # the best of the chain against eager PyTorch
# How much to take of the residual stream and of the layers inside the blocks, by stage
AMOUNTS = [(0.75, 0.75), (0.5, 0.5), (0.01, 0.5)]


def fresh() -> nn.Module:
    """ResNet-20 with random weights, and batch norms as training leaves them."""
    torch.manual_seed(0)
    model = build(MODEL, SHAPE[0], SHAPE[1], CLASSES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def trainer() -> SimpleNamespace:
    """What steps are given: random images, and a training that does nothing."""

    def calibration_batches(count: int, batch_size: int = 64) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(torch.randn(batch_size, *SHAPE), torch.zeros(batch_size, dtype=torch.long))] * (count // batch_size)

    return SimpleNamespace(
        input_shape=SHAPE, calibration_batches=calibration_batches, fit=lambda model, **_: model.eval()
    )


def compressed(*steps: dict) -> nn.Module:
    """A fresh model after steps: ``name`` in `configs/compression`, and the values that differ from those there."""
    model = fresh()
    for step in steps:
        values = content(CONFIGS / f"{step['name']}.yaml") | step
        del values["name"]
        model = instantiate(values)(model, trainer())
    return model.eval()


def amounts(folder: Path) -> str:
    """`AMOUNTS` by layer, in a file such as ``effdl sensitivity`` writes."""
    by_layer = {"0": AMOUNTS[0][0]}
    for block in range(3, 12):
        stream, inside = AMOUNTS[(block - 3) // 3]
        by_layer |= {f"{block}.conv1": inside, f"{block}.conv2": stream}
    file = folder / "amounts.json"
    file.write_text(json.dumps(by_layer))
    return str(file)


def store(model: nn.Module, path: Path) -> dict:
    """Write a model in effdl's format and as ONNX; returns its MACs, and its layers as ``layers``."""
    materialized, on_grid = materialize_parametrizations(model), quant_grids(model)
    description = {
        "config": MODEL,
        "channels": SHAPE[0],
        "image_size": SHAPE[1],
        "classes": CLASSES,
        "structure": changes(materialized, fresh()),
    }
    storage.write(path.with_suffix(".safetensors"), materialized.state_dict(), description, on_grid)
    to_onnx(materialized, on_grid, SHAPE, path.with_suffix(".onnx"), "int8" if on_grid else "fp32")
    return {**macs(materialized, SHAPE), "layers": sum(1 for _ in weights(materialized))}


def summarized(rounds: list[dict]) -> dict:
    """One row of several: the median of each number."""
    medians = {key: statistics.median(row[key] for row in rounds) for key in rounds[0] if key.endswith("_ms")}
    return {**rounds[0], **medians}


def measure(folder: Path, threads: int, rounds: int) -> tuple[dict[str, list[dict]], dict[str, dict]]:
    """Make the models; returns the rows of every round, and the summary, by model."""
    int8 = {"name": "int8", "level": "int8"}
    quarter, half = ({"name": "filters", "level": by, "round_to": to} for by, to in ((4.0, 8), (2.0, 16)))
    models = {
        FP32: fresh(),
        INT8: compressed(int8),
        FILTERS: compressed(quarter),
        BY_LAYER: compressed({**quarter, "round_to": 4, "amounts": amounts(folder)}),
        CHAIN: compressed(quarter, int8),
        WIDER: compressed(half, int8),
    }
    facts = {name: store(model, folder / str(number)) for number, (name, model) in enumerate(models.items())}
    files = {name: (folder / f"{number}.onnx", {}) for number, name in enumerate(models)}
    files = {EAGER: (folder / "0.safetensors", {}), LAST: (folder / "0.safetensors", {"channels_last": True})} | files
    files[AGAIN] = files[FP32]
    found: dict[str, list[dict]] = {name: [] for name in files}
    for number in range(1, rounds + 1):
        for name, (path, layout) in files.items():
            print(f"round {number} of {rounds}: {name}", file=sys.stderr)
            (row,) = timed([path], SHAPE, threads=threads, **layout).rows
            found[name].append(facts.get(name, facts[FP32]) | row)
    return found, {name: summarized(rows) for name, rows in found.items()}


def ratio(found: dict[str, list[dict]], before: str, after: str) -> tuple[float, float, float]:
    """How many times faster one model is than another, round by round: median, and its interval."""
    each = [a["latency_ms"] / b["latency_ms"] for a, b in zip(found[before], found[after], strict=True)]
    return statistics.median(each), *median_interval(each)


def rounds_of(rows: list[dict]) -> Rounds:
    """The rounds of a model, each with the median of its process."""
    return [[1e-3 * row["latency_ms"]] for row in rows]


def times_table(found: dict[str, list[dict]], summary: dict[str, dict], title: str) -> Table:
    """One row per model."""
    table = Table(title=title, title_justify="left")
    for column in ("model", "ms", "quartiles", "MACs", "x eager", "x channels_last", "x ORT fp32"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, row in summary.items():
        spread = f"{row['latency_q1_ms']:.3f}-{row['latency_q3_ms']:.3f}"
        ratios = ["{:.2f} ({:.1f}-{:.1f})".format(*ratio(found, before, name)) for before in (EAGER, LAST, FP32)]
        table.add_row(name, f"{row['latency_ms']:.3f}", spread, f"{row['macs'] / 1e6:.1f} M", *ratios)
    return table


def main() -> int:
    """Measure, print, and return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.rounds < MIN_ROUNDS:
        parser.error(f"--rounds {args.rounds}: allowed is a whole number >= {MIN_ROUNDS}")
    torch.set_num_threads(args.threads)
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory() as folder:
        found, summary = measure(Path(folder), args.threads, args.rounds)
    noun = "thread" if args.threads == 1 else "threads"
    title = (
        f"ResNet-20, 32x32, batch 1, {args.threads} {noun}, {summary[FP32]['latency_runtime']}, {args.rounds} rounds"
    )
    console.print(times_table(found, summary, title))
    if (load := os.getloadavg()[0]) > args.threads + 1:
        console.print(
            f"warning: others keep the machine busy (load {load:.1f}); eager PyTorch suffers most: run it again"
        )
    flags = cpu_flags()
    for name in (INT8, FILTERS, BY_LAYER, CHAIN, WIDER):
        three = (name, FP32, AGAIN)
        row = in_turns([summary[each] for each in three], [rounds_of(found[each]) for each in three])
        facts = {"cpu_flags": flags, "layers": summary[name]["layers"]}
        console.print(f"{name}: {verdict(summary[FP32], summary[name] | row, facts)}", soft_wrap=True)
    deploy = min((INT8, FILTERS, BY_LAYER, CHAIN, WIDER), key=lambda name: summary[name]["latency_ms"])
    console.print(
        "deploy: {}, {:.1f}x as fast ({:.1f} to {:.1f}) as {}".format(deploy, *ratio(found, EAGER, deploy), EAGER)
    )
    missed = 0
    for name, before, target in [*TARGETS, (deploy, EAGER, BEST)]:
        median = ratio(found, before, name)[0]
        missed += median < target
        console.print(f"{'met   ' if median >= target else 'MISSED'} {name} / {before}: {median:.2f} (target {target})")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
