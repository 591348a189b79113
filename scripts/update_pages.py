"""Write the pages' tables of results from run folders, so that no number in them is typed by hand.

    python scripts/update_pages.py outputs/example [RUN_FOLDER ...]
    python scripts/update_pages.py --part "deep compression" RUN_FOLDER [...]

The part ``results`` is in README.md (between ``<!-- results -->`` and ``<!-- /results -->``), the part ``deep
compression`` in configs/compression/README.md. A table has one row per stage of each run, the first with the command
that made the run. The path of a data set is shown as DIR. What a paper reports is taken from the first line of the
experiment's config.
"""

import argparse
import sys
from pathlib import Path

from pages import markdown, replace_part

from effdl.measure.metrics import COSTS, metric
from effdl.report.energy_basis import energy_basis
from effdl.runs.folder import RunFolder

EXPERIMENTS = Path(__file__).parent.parent / "configs" / "experiment"
RESULTS = ("top1", "weight_sparsity", "size_bytes", "macs_nonzero", "latency_ms", *COSTS)
# Of the Deep Compression runs, whose accuracy is shown as the error, as in the paper.
COMPRESSED = ("weight_sparsity", "weight_bits", "size_bytes", "compression_ratio", "duration_s")


def command(folder: RunFolder) -> str:
    """The command line that makes a run again."""
    shown = ["dataset.root=DIR" if text.startswith("dataset.root=") else text for text in folder.overrides]
    return " ".join(["effdl train", *shown])


def row(folder: RunFolder, stage: dict) -> list[str]:
    """A stage as cells."""
    return [
        f"`{command(folder)}`" if stage["stage"] == "dense" else "",
        stage["stage"],
        *(metric(key).text(stage[key]) for key in RESULTS),
    ]


def table(folders: list[RunFolder]) -> str:
    """The Markdown table and the conditions it holds under."""
    rows = [row(folder, stage) for folder in folders for stage in folder.result["stages"]]
    total = folders[0].result["total"]
    energy = total["energy"]
    conditions = (
        f"{machine(folders[0])}. "
        "Latency: one image in eager PyTorch, whose kernels do not skip zeros: it differs between these stages "
        f"by the noise of the machine only. Energy: {energy_basis(total)} ({energy['tracker']}). "
        f"Grid: {energy['grid_source']}, {energy['grid_g_per_kwh']:.0f} g/kWh."
    )
    accuracy, *others = (metric(key).label for key in RESULTS)
    return f"{markdown(('command', 'stage', f'test {accuracy}', *others), rows)}\n\n{conditions}"


def machine(folder: RunFolder) -> str:
    """Where and when a run was made."""
    run = folder.run
    hardware = f"{run['hardware']['cpu']}, {run['threads']} threads"
    return f"{hardware}, PyTorch {run['versions']['torch']}, {run['started'][:10]}"


def deep_compression(folders: list[RunFolder]) -> str:
    """The table of the Deep Compression runs, with what the paper reports."""
    columns = ("command", "stage", "test error", *(metric(key).label for key in COMPRESSED))
    rows, reported = [], []
    for folder in folders:
        for stage in folder.result["stages"]:
            cells = [f"`{command(folder)}`" if stage["stage"] == "dense" else "", stage["stage"]]
            cells += [metric("top1").text(1 - stage["top1"]), *(metric(key).text(stage[key]) for key in COMPRESSED)]
            rows.append(cells)
        name = next(word for word in command(folder).split() if word.startswith("experiment=")).partition("=")[2]
        reported.append((EXPERIMENTS / f"{name}.yaml").read_text().splitlines()[1].lstrip("# "))
    return f"{markdown(columns, rows)}\n\n{machine(folders[0])}. Reported by the paper: {'; '.join(reported)}."


# The page that a part is in, and what writes it.
PARTS = {
    "results": ("README.md", table),
    "deep compression": ("configs/compression/README.md", deep_compression),
}


def main() -> int:
    """Rewrite one part of a page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=RunFolder)
    parser.add_argument("--part", choices=PARTS, default="results")
    args = parser.parse_args()
    page, write = PARTS[args.part]
    replace_part(page, args.part, write(args.folders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
