"""Training throughput: effdl's `fit` against a bare loop and against the usual loop.

    python scripts/benchmark_training.py [--rounds 5] [--batches 30] [--threads 2] [--model resnet --depth 20]

Three ways to train the same model at the same batch size and number of threads, in one process and in turn, so that
whatever else the machine does hits all of them alike:

- floor: forward, backward and SGD step on one fixed batch that is already a normalized float tensor. Nothing that
  feeds real data can be faster.
- fit: `effdl.training.loop.fit` on the default device settings, with flip-crop augmentation, metrics, energy meter,
  log and checkpoint; no validation split.
- usual: the loop of most tutorials: torchvision's PIL transforms (crop, flip, tensor, normalize), `DataLoader` with
  one worker per thread, loss and accuracy read after every batch.

Images are random; arithmetic does not care. The table shows each round and the median of the ratios within rounds.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from effdl.data.augment import flip_crop
from effdl.data.build import Data
from effdl.data.source import Images
from effdl.measure.energy import EnergyMeter
from effdl.models.resnet import resnet
from effdl.training.callbacks import Callbacks
from effdl.training.checkpoint import Checkpoint
from effdl.training.device import select_device
from effdl.training.epoch_log import EpochLog
from effdl.training.loop import fit
from effdl.training.optimizers import sgd
from effdl.training.recipe import Recipe
from effdl.training.schedules import constant
from effdl.utils.rows import Rows

MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
DEVICE = select_device(
    {
        "name": "cpu",
        "precision": "fp32",
        "channels_last": None,
        "compile": False,
        "threads": None,
        "deterministic": True,
    }
)
OPTIMIZER = partial(sgd, lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)


class PilImages(Dataset):
    """What torchvision's CIFAR10 does for one sample."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.arrays, self.labels = images.permute(0, 2, 3, 1).numpy(), labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD]),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def floor(model: nn.Module, images: Images, batch: int) -> None:
    """The bare loop."""
    optimizer = OPTIMIZER(model)
    x, y = torch.randn(batch, 3, 32, 32), images.labels[:batch]
    model.train()
    for _ in range(len(images) // batch):
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def ours(model: nn.Module, images: Images, batch: int, meter: EnergyMeter) -> None:
    """One epoch of `fit`."""
    data = Data("random", images, None, images, tuple("0123456789"), 3, 32, MEAN, STD, "")
    recipe = Recipe(1, batch, OPTIMIZER, constant, (partial(flip_crop, flip=True, pad=4),))
    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            data,
            recipe,
            DEVICE,
            seed=0,
            checkpoint=Checkpoint(Path(folder), 0, "run"),
            meter=meter,
            callbacks=Callbacks(),
            log=EpochLog(Rows(Path(folder) / "epochs.jsonl"), "dense", 0),
        )


def usual(model: nn.Module, images: Images, batch: int, workers: int) -> None:
    """The tutorial's loop."""
    loader = DataLoader(
        PilImages(images.images, images.labels), batch, shuffle=True, num_workers=workers, drop_last=True
    )
    optimizer = OPTIMIZER(model)
    model.train()
    total = correct = 0
    for x, y in loader:
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        total += loss.item()
        correct += (logits.argmax(1) == y).sum().item()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30, help="per round")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--depth", type=int, default=20, help="of the ResNet")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    count = args.batches * args.batch_size
    images = Images(torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (count,)))
    meter = EnergyMeter(enabled=True, country=None, pue=1.0)
    ways = {
        "floor": partial(floor, images=images, batch=args.batch_size),
        "fit": partial(ours, images=images, batch=args.batch_size, meter=meter),
        "usual": partial(usual, images=images, batch=args.batch_size, workers=args.threads),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(-1, args.rounds):  # one round to warm up
        for name, way in ways.items():
            model = resnet(3, 32, 10, depth=args.depth)
            began = perf_counter()
            way(model)
            if round_number >= 0:
                speeds[name].append(count / (perf_counter() - began))
    title = f"images/s, ResNet-{args.depth}, 32x32, batch {args.batch_size}, {args.threads} threads"
    table = Table(title=title, title_justify="left")
    for column in ("", *(f"round {i + 1}" for i in range(args.rounds)), "median"):
        table.add_column(column, justify="right")
    for name, values in speeds.items():
        table.add_row(name, *(f"{value:.0f}" for value in values), f"{statistics.median(values):.0f}")
    for other in ("floor", "usual"):
        ratios = [a / b for a, b in zip(speeds["fit"], speeds[other], strict=True)]
        table.add_row(f"fit/{other}", *(f"{ratio:.2f}" for ratio in ratios), f"{statistics.median(ratios):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
