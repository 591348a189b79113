"""Time an epoch of pretraining against two supervised epochs on the same images, in turns in one process.

    python scripts/time_pretraining.py [METHOD ...] [--threads 2] [--images 2560] [--rounds 5]

Two views of an image cost two passes; views, projector, loss and what is looked at after an epoch come on top. All of
that is in the times: each is a whole `fit` of one epoch, with validation. The networks and the batches are the same.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from effdl.config.compose import composed, settings
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.measure.energy import EnergyMeter
from effdl.pretraining.trunk import pretraining_of
from effdl.runs.folder import RunFolder
from effdl.runs.prepare import PreparedRun
from effdl.runs.runner import Runner
from effdl.training.device import select_device

METHODS = ("simclr", "byol", "barlow_twins", "vicreg", "simsiam", "dino")
LIMIT = 1.15  # of two supervised epochs


def random_images(count: int) -> Images:
    """CIFAR-sized noise."""
    return Images(torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (count,)))


def runner_of(config: dict, data: Data, folder: str) -> Runner:
    """What trains a new model by a config."""
    from effdl.models.build import build

    model = build(config["model"], data.channels, data.image_size, len(data.classes))
    prepared = PreparedRun(config, select_device(config["device"]), data, model)
    return Runner(prepared, RunFolder(Path(folder)), EnergyMeter(**config["energy"]))


def seconds(config: dict, data: Data, pretraining: bool) -> float:
    """Time of one epoch, with all that belongs to it."""
    with tempfile.TemporaryDirectory() as folder:
        runner = runner_of(config, data, folder)
        runner.trainer.stage = "pretraining" if pretraining else "dense"
        began = perf_counter()
        if pretraining:
            pretraining_of(config["pretraining"])(runner.prepared.model, runner.trainer)
        else:
            runner.trainer.fit(runner.prepared.model, epochs=1)
        return perf_counter() - began


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    train, held = random_images(args.images), random_images(args.images // 10)
    data = Data("random", train, held, held, tuple("0123456789"), 3, 32, (125.0,) * 3, (60.0,) * 3, "")
    overrides = ["dataset=cifar10", "model=resnet", "epochs=1", "batch_size=128", f"device.threads={args.threads}"]
    times: dict[str, list[float]] = {"two supervised epochs": [], **{name: [] for name in args.methods}}
    for number in range(-1, args.rounds):  # one round to warm up
        for name, found in times.items():
            pretraining = name in args.methods
            more = [f"pretraining={name}"] if pretraining else []
            config = settings(composed([*overrides, *more], None))
            taken = sum(seconds(config, data, pretraining) for _ in range(1 if pretraining else 2))
            if number >= 0:
                found.append(taken)
    title = f"seconds, ResNet-20, {args.images} images 3x32x32, batch 128, {args.threads} threads"
    table = Table(title=title, title_justify="left")
    for column in ("", *(f"round {i + 1}" for i in range(args.rounds)), "median", f"ratio (at most {LIMIT})"):
        table.add_column(column, justify="right")
    base = next(iter(times.values()))
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        table.add_row(name, *(f"{value:.2f}" for value in values), f"{statistics.median(values):.2f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
