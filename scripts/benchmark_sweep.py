"""How long sweeps take: jobs that share their first training against single runs, and what is around small runs.

    python scripts/benchmark_sweep.py [--rounds 3]

Wall time, so on an idle machine; the two sides take turns, each in processes of its own. Targets: the sweep of three
levels takes at most 0.55 of three single runs; a sweep of 20 small runs at most 1.3 of what starting one takes and of
their training and measuring. What starting takes is a single small run's time without its training and measuring.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from effdl.runs.folder import RunFolder

LEVELS = ("0.5", "0.8", "0.9")
SHARED = ("model=resnet", "epochs=10")
SMALL = ("model=mlp", "epochs=5")
COUNT = 20


def timed(folder: str, *words: str) -> float:
    """Seconds of ``effdl train`` in a process of its own."""
    began = perf_counter()
    command = [sys.executable, "-m", "effdl", "train", *words]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def own_seconds(folder: Path) -> float:
    """Seconds of training and measuring in the runs of a folder."""
    totals = [RunFolder(file.parent).result["total"] for file in folder.rglob("result.json")]
    return sum(total["duration_s"] + total["evaluate_duration_s"] for total in totals)


def shared(threads: str) -> tuple[float, float]:
    """Seconds of three levels as a sweep, and as three single runs."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = timed(folder, "-m", *SHARED, threads, f"prune={','.join(LEVELS)}")
        return sweep, sum(timed(folder, *SHARED, threads, f"prune={level}") for level in LEVELS)


def small(threads: str) -> tuple[float, float]:
    """Seconds of a sweep of small runs, and of starting one with their training and measuring."""
    with tempfile.TemporaryDirectory() as folder:
        single = timed(folder, *SMALL, threads, "hydra.run.dir=single")
        start = single - own_seconds(Path(folder) / "single")
        sweep = timed(folder, "-m", *SMALL, threads, f"seed=range({COUNT})", "hydra.sweep.dir=sweep")
        return sweep, start + own_seconds(Path(folder) / "sweep")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    threads = f"device.threads={args.threads}"
    table = Table(title=f"seconds, {args.threads} threads, medians of {args.rounds}", title_justify="left")
    for column in ("sweep", "took", "against", "ratio", "target"):
        table.add_column(column, justify="right" if column != "sweep" else "left")
    compared = {
        f"{' '.join(SHARED)} prune={','.join(LEVELS)}, three single runs": (shared, 0.55),
        f"{' '.join(SMALL)} seed=range({COUNT}), a start + training + measuring": (small, 1.3),
    }
    for name, (measure, target) in compared.items():
        found = [measure(threads) for _ in range(args.rounds)]
        took, against = map(statistics.median, zip(*found, strict=True))
        ratio = statistics.median(one / other for one, other in found)
        table.add_row(name, f"{took:.1f}", f"{against:.1f}", f"{ratio:.2f}", f"{target}")
    Console().print(table)


if __name__ == "__main__":
    main()
