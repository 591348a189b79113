"""What it saves to keep freed memory (`effdl.utils.heap`): training and inference of models with large activations.

    python scripts/benchmark_heap.py [--threads 1] [--rounds 3]

Both arms take turns, each time in a process of its own: in one they would use each other's memory. Needs the extra
``timm``.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from effdl.models.mobilenetv2 import mobilenetv2
from effdl.models.resnet import resnet, resnet18
from effdl.models.vgg import vgg
from effdl.utils.heap import keep_freed_memory

# model, its name, batch, image size
CASES: list[tuple[Callable[[], nn.Module], str, int, int]] = [
    (lambda: resnet(3, 32, 10), "resnet", 128, 32),
    (lambda: vgg(3, 32, 10), "vgg", 128, 32),
    (lambda: mobilenetv2(3, 32, 10), "mobilenetv2", 128, 32),
    (lambda: resnet18(3, 32, 10), "resnet18", 128, 32),
    (lambda: timm.create_model("tf_efficientnet_lite0", num_classes=10), "efficientnet_lite0", 16, 160),
    (lambda: timm.create_model("tf_efficientnet_lite0", num_classes=10), "efficientnet_lite0", 32, 224),
]


def seconds(step: Callable[[], None], repeats: int = 3) -> float:
    """Median wall-clock time of a step, after two of warm-up."""
    times = []
    for _ in range(repeats + 2):
        began = perf_counter()
        step()
        times.append(perf_counter() - began)
    return statistics.median(times[2:])


def timed(case: int, threads: int) -> tuple[float, float]:
    """Seconds of a batch's training and inference in this process."""
    torch.set_num_threads(threads)
    make, _, batch, size = CASES[case]
    model = make().to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch) % 10
    training = seconds(lambda: F.cross_entropy(model(x), y).backward())
    model.eval()
    with torch.inference_mode():
        return training, seconds(lambda: model(x))


def apart(case: int, threads: int, arm: str) -> tuple[float, float]:
    """The same in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--threads", str(threads), "--case", str(case), "--arm", arm]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    training, inference = map(float, out.split())
    return training, inference


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)  # what `apart` says
    parser.add_argument("--arm", choices=("own", "kept"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm == "kept":
        keep_freed_memory()
    if args.arm:
        print(*timed(args.case, args.threads))
        return
    table = Table(title=f"s per batch, {args.threads} threads, as glibc does and kept", title_justify="left")
    for column in ("model", "images", "training", "kept", "speed-up", "inference", "kept", "speed-up"):
        table.add_column(column, justify="right")
    for case, (_, name, batch, size) in enumerate(CASES):
        pairs = [[apart(case, args.threads, arm) for arm in ("own", "kept")] for _ in range(args.rounds)]
        cells = []
        for part in range(2):
            own, kept = (statistics.median(pair[arm][part] for pair in pairs) for arm in range(2))
            ratio = statistics.median(pair[0][part] / pair[1][part] for pair in pairs)
            cells += [f"{own:.3f}", f"{kept:.3f}", f"{ratio:.2f}"]
        table.add_row(name, f"{batch}x3x{size}x{size}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
