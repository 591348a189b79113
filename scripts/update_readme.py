"""Write the README's table of results from run folders, so that no number in it is typed by hand.

    python scripts/update_readme.py outputs/example [RUN_FOLDER ...]

Replaces what stands between ``<!-- results -->`` and ``<!-- /results -->`` in README.md: one row per stage of each run,
the first with the command that made the run. The path of a data set is shown as DIR.
"""

import argparse
import sys
from pathlib import Path

from omegaconf import OmegaConf

from effdl.report.table import milliseconds, percent, si, size
from effdl.results import RunFolder

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- results -->", "<!-- /results -->"
COLUMNS = (
    "command",
    "stage",
    "test top-1",
    "weight sparsity",
    "size on disk",
    "MACs non-zero",
    "latency",
    "time",
    "energy",
    "CO2eq",
)


def command(folder: RunFolder) -> str:
    """The command line that makes a run again."""
    overrides = OmegaConf.load(folder.path / ".hydra" / "overrides.yaml")
    shown = ["dataset.root=DIR" if text.startswith("dataset.root=") else text for text in overrides]
    return " ".join(["effdl train", *(text for text in shown if not text.startswith("resume="))])


def row(folder: RunFolder, stage: dict) -> list[str]:
    """A stage as cells."""
    return [
        f"`{command(folder)}`" if stage["stage"] == "dense" else "",
        stage["stage"],
        percent(stage["top1"]),
        percent(stage["weight_sparsity"]),
        size(stage["size_bytes"]),
        si(stage["macs_nonzero"]),
        milliseconds(stage["latency_ms"]),
        f"{stage['duration_s']:.1f} s",
        si(1000 * stage["energy_kwh"], "Wh"),
        si(stage["co2eq_g"], "g"),
    ]


def table(folders: list[RunFolder]) -> str:
    """The Markdown table and the conditions it holds under."""
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    lines += [" | ".join(row(folder, stage)) for folder in folders for stage in folder.result["stages"]]
    run, total = folders[0].run, folders[0].result["total"]
    energy = total["energy"]
    sources = ", ".join(f"{part} {how}" for part, how in total["source"].items())
    machine = f"{run['hardware']['cpu']}, {run['threads']} threads, PyTorch {run['versions']['torch']}"
    conditions = (
        f"{machine}, {run['started'][:10]}. "
        f"Latency: one image in eager PyTorch. Energy: {sources} ({energy['tracker']}). "
        f"Grid: {energy['grid_source']}, {energy['grid_g_per_kwh']:.0f} g/kWh."
    )
    return "\n".join([*(f"| {line} |" for line in lines), "", conditions])


def main() -> int:
    """Rewrite the README; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=RunFolder)
    args = parser.parse_args()
    text = README.read_text()
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{START}\n{table(args.folders)}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
