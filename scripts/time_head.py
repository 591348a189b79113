"""How much faster a last layer is trained on cached features than behind its frozen trunk, in one process.

Usage: python scripts/time_head.py [--model resnet] [--images 2000] [--epochs 3] [--rounds 3]

Images are noise: their content costs nothing. Both trainings are those of ``trainable=head augment=[]``, in turns, and
what is shown are medians of images per second and their ratio. The one pass through the trunk is timed apart.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from effdl.config.compose import composed, settings
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.measure.energy import EnergyMeter
from effdl.models.build import build
from effdl.runs.prepare import recipe_of
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import select_device
from effdl.training.epoch_log import EpochLog
from effdl.training.frozen_trunk import head_training
from effdl.training.loop import fit
from effdl.training.transfer import resolved
from effdl.utils.rows import Rows


def noise(count: int, side: int) -> Data:
    """A data set of noise in 10 classes, without a validation split."""
    pixels = torch.randint(256, (count, 3, side, side), dtype=torch.uint8)
    images = Images(pixels, torch.arange(count) % 10)
    classes = tuple(map(str, range(10)))
    return Data("noise", images, None, images, classes, 3, side, (127.5,) * 3, (74.0,) * 3, f"noise {count} {side}")


def speeds(model, data, recipe, device) -> list[float]:
    """Images per second of every epoch of a training."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Rows(Path(folder) / "epochs.jsonl")
        fit(
            model,
            data,
            recipe,
            device,
            seed=0,
            checkpoint=Checkpoint(Path(folder), 0, "run"),
            meter=EnergyMeter(enabled=False, country=None, pue=1.0),
            callbacks=Callbacks(),
            log=EpochLog(rows, "dense", 0),
        )
        return [row["images_per_s"] for row in rows.read()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet", help="an option of the group model")
    for name, default in (("images", 2000), ("side", 32), ("epochs", 3), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    config = settings(composed([f"model={args.model}", f"epochs={args.epochs}", "trainable=head", "augment=[]"], None))
    device, data = select_device(config["device"]), noise(args.images, args.side)
    model = device.move(build(config["model"], 3, args.side, 10))
    recipe = recipe_of(config, 10, resolved(model, data.input_shape, "head"))
    began = perf_counter()
    head = head_training(model, data, recipe, device)
    first = perf_counter() - began
    if isinstance(head, str):
        raise SystemExit(head)
    whole, cached = [], []
    for _ in range(args.rounds):
        whole += speeds(model, data, replace(recipe, epochs=1), device)
        cached += speeds(head.head, head.data, head.recipe, device)
    print(f"{args.model}, {args.images:,} images of 3x{args.side}x{args.side}, {torch.get_num_threads()} threads")
    print(f"behind the frozen trunk   {median(whole):>12,.0f} images/s")
    print(f"on cached features        {median(cached):>12,.0f} images/s")
    print(f"ratio                     {median(cached) / median(whole):>12,.0f} x")
    print(f"features, once            {first:>12.1f} s ({head})")


if __name__ == "__main__":
    main()
