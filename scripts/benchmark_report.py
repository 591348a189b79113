"""How long `effdl report` takes for many runs, against reading and hashing their files: both in processor time.

    python scripts/benchmark_report.py RUN [--runs 100,1000]

RUN is a finished run, which is copied so often. Targets: a thousand runs in 5 s on an idle machine, and no ratio that
grows with the number of runs.
"""

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

from rich.console import Console
from rich.table import Table

FILES = ("run.json", "result.json", "epochs.jsonl", "stages.jsonl", "layers.jsonl", "model.safetensors")


def bare(root: Path) -> float:
    """Seconds of reading, parsing and hashing all files once."""
    began = process_time()
    for file in root.rglob("*.*"):
        data = file.read_bytes()
        hashlib.sha256(data).digest()
        if file.suffix != ".safetensors":
            [json.loads(text) for text in ([data] if file.suffix == ".json" else data.splitlines())]
    return process_time() - began


def reported(root: Path) -> float:
    """Seconds of ``effdl report`` in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "effdl", "report", str(root), "--group", "--scores"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--runs", default="100,1000")
    args = parser.parse_args()
    table = Table(title="effdl report --group --scores, seconds of one processor", title_justify="left")
    for column in ("runs", "report", "bare", "ratio"):
        table.add_column(column, justify="right")
    for count in map(int, args.runs.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                copy = Path(folder) / str(number % 10) / str(number)
                copy.mkdir(parents=True)
                for name in FILES:
                    shutil.copyfile(args.run / name, copy / name)
            least, own = bare(Path(folder)), reported(Path(folder))
            table.add_row(f"{count:,}", f"{own:.2f}", f"{least:.2f}", f"{own / least:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
