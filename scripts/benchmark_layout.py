"""Is `device.channels_last` worth its default? A training step of each convolutional model in both layouts.

    python scripts/benchmark_layout.py [--threads 2] [--rounds 5]

Both layouts take turns in one process. The default stays on as long as no ratio is below 1 by more than the noise.
"""

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from effdl.models.convnet import convnet
from effdl.models.densenet import densenet
from effdl.models.lenet5 import lenet5
from effdl.models.mobilenet import mobilenet
from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet, resnet18
from effdl.models.vgg import vgg

# model, channels, image size, batch
CASES: list[tuple[Callable[..., nn.Module], int, int, int]] = [
    (resnet, 1, 8, 64),
    (lenet5, 1, 28, 100),
    (convnet, 1, 28, 100),
    (resnet, 3, 32, 128),
    (resnet18, 3, 32, 32),
    (vgg, 3, 32, 64),
    (mobilenet, 3, 32, 64),
    (mobilenetv2, 3, 32, 64),
    (densenet, 3, 32, 32),
]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def training_step(family: Callable[..., nn.Module], channels: int, size: int, batch: int, layout) -> Callable[[], None]:
    """A function that trains a fresh model on one fixed batch for one step."""
    model = family(channels, size, 10).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = torch.randn(batch, channels, size, size), torch.randint(0, 10, (batch,))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def milliseconds(step: Callable[[], None], seconds: float = 0.3) -> float:
    """Mean time of a step over about this many seconds."""
    count, began = 0, perf_counter()
    while count == 0 or perf_counter() - began < seconds:
        step()
        count += 1
    return 1e3 * (perf_counter() - began) / count


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = Table(title=f"ms per training step, {args.threads} threads", title_justify="left")
    for column in ("model", "images", "contiguous", "channels_last", "speed-up"):
        table.add_column(column, justify="right")
    for family, channels, size, batch in CASES:
        steps = [training_step(family, channels, size, batch, layout) for layout in LAYOUTS]
        times = [[milliseconds(step) for step in steps] for _ in range(args.rounds + 1)][1:]  # the first warms up
        contiguous, last = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        images = f"{batch}x{channels}x{size}x{size}"
        table.add_row(family.__name__, images, f"{contiguous:.1f}", f"{last:.1f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
