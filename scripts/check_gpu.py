"""Everything that effdl does on a GPU, tried and timed once; a part that fails does not stop the others.

    python scripts/check_gpu.py --out DIR [--seconds 240] [--jobs 8] [--timeout 60] [--only WORDS]

The tests with the marker ``cuda``, trainings on the embedded digits in every arithmetic and with every method, several
at a time, and timings of the training loop alone on the card. DIR/check_gpu.json has a row for each check with its
commands, their exit codes and last lines, DIR/check_gpu.md a table; both are written anew after every check. What
was not begun in time is ``not run``. The exit code is 1 if a check failed.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from gpu_checks.matrix import Check, matrix
from gpu_checks.shell import Failed, Shell, Skipped
from gpu_checks.table import table

from effdl.utils.files import write_atomic

_TOGETHER = 0.75  # of the seconds: after it only the timings begin, which need the card for themselves


@dataclass
class Report:
    """The rows of the checks, in the files of a folder."""

    folder: Path
    rows: list[dict]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, row: dict, **found) -> None:
        """Change a row, and write both files."""
        with self.lock:
            row.update(found)
            write_atomic(self.folder / "check_gpu.json", json.dumps(self.rows, indent=1).encode())
            write_atomic(self.folder / "check_gpu.md", table(self.rows).encode())


def check_all(checks: list[Check], args: argparse.Namespace, report: Report, work: Path) -> None:
    """Carry out the checks in their order: those of one kind together, those that are alone one by one."""
    began = time.monotonic()
    end = began + args.seconds
    pairs = zip(checks, report.rows, strict=True)

    def attempt(number: int, check: Check, row: dict) -> None:
        if time.monotonic() > (end if check.alone else began + _TOGETHER * args.seconds):
            return
        shell = Shell(work / str(number), args.device, check.seconds or args.timeout, end)
        started = time.monotonic()
        verdict, note = outcome(check, shell)
        found = {"seconds": round(time.monotonic() - started, 1), "commands": shell.commands}
        report.update(row, verdict=verdict, note=note, **found)
        print(f"{time.monotonic() - began:4.0f} s  {check.name}: {verdict}: {note[:150]}", flush=True)

    for alone, group in groupby(enumerate(pairs), lambda item: item[1][0].alone):
        with ThreadPoolExecutor(1 if alone else args.jobs) as pool:
            for number, (check, row) in group:
                pool.submit(attempt, number, check, row)


def outcome(check: Check, shell: Shell) -> tuple[str, str]:
    """Verdict and note of a check."""
    try:
        return "ok", check.act(shell, check.overrides)
    except Skipped as reason:
        return "skipped", str(reason)
    except Failed as reason:
        return "failed", str(reason)
    except Exception:  # a fault of the check itself
        return "failed", f"the check: {traceback.format_exc().splitlines()[-1]}"


def main() -> int:
    """Carry out what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--seconds", type=float, default=240, help="for all checks together")
    parser.add_argument("--jobs", type=int, default=8, help="checks at the same time")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one command")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the script itself")
    parser.add_argument("--only", default="", help="checks whose name has this in it")
    args = parser.parse_args()
    checks = [check for check in matrix() if args.only in check.name]
    args.out.mkdir(parents=True, exist_ok=True)
    new = {"seconds": None, "verdict": "not run", "note": "", "commands": []}
    report = Report(args.out, [{"name": check.name, **new} for check in checks])
    with tempfile.TemporaryDirectory(prefix="check_gpu.", ignore_cleanup_errors=True) as work:
        check_all(checks, args, report, Path(work))
    print(table(report.rows))
    return int(any(row["verdict"] == "failed" for row in report.rows))


if __name__ == "__main__":
    sys.exit(main())
