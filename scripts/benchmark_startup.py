"""How long until something happens: `effdl --help`, and the first batch of a training.

    python scripts/benchmark_startup.py [--rounds 5]

The first batch is compared with `python -c "import torch, torchvision"`, each in a process of its own and in turn. It
is taken to be over when the first epoch of ten batches is reported, so the ratio is an upper bound.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter

from rich.console import Console
from rich.table import Table

EFFDL = [sys.executable, "-m", "effdl"]
IMPORTS = [sys.executable, "-c", "import torch, torchvision"]
TRAIN = [*EFFDL, "train", "model=resnet", "epochs=1", "dataset.subset=720"]  # 648 to train on: ten batches of 64


def seconds_to_end(command: list[str]) -> float:
    """Seconds until a command has ended."""
    began = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def seconds_to_first_epoch(folder: str) -> float:
    """Seconds until a training reports its first epoch."""
    began = perf_counter()
    with subprocess.Popen(TRAIN, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        next(line for line in process.stdout if "epoch 1/1" in line)
        seconds = perf_counter() - began
        process.stdout.read()
    return seconds


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.rounds + 1):
            rows.append((seconds_to_end([*EFFDL, "--help"]), seconds_to_end(IMPORTS), seconds_to_first_epoch(folder)))
    rows = rows[1:]  # the first round fills the file cache
    table = Table(title="seconds", title_justify="left")
    for name in ("effdl --help", "import torch, torchvision", "first batch of effdl train", "ratio"):
        table.add_column(name, justify="right")
    for help_s, imports_s, batch_s in [*rows, tuple(map(statistics.median, zip(*rows, strict=True)))]:
        table.add_row(f"{help_s:.2f}", f"{imports_s:.2f}", f"{batch_s:.2f}", f"{batch_s / imports_s:.2f}")
    table.caption = "last row: medians"
    Console().print(table)


if __name__ == "__main__":
    main()
