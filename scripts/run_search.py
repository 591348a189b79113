"""Run the searches of effdl/search/README.md and write there what they found, as a table and the first one's picture.

    python scripts/run_search.py OUTPUT_FOLDER

The commands are read from the page's section of results, and run in OUTPUT_FOLDER, each in a folder that is named after
it. A search that was cut off goes on, one that has ended is not repeated: the script can be killed and started again.
Columns: what was asked; the dense model and the one that was found, by the validation split and by the test split, its
speed-up as it was measured in turns, and the course's score; how many models were compared, and what all runs of the
search took, measuring included.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from pages import ROOT, markdown, replace_part

from effdl.measure.metrics import metric
from effdl.runs.folder import RunFolder
from effdl.search.trial import row_of

PAGE = "effdl/search/README.md"
PICTURE = "effdl/search/front.png"
COLUMNS = ("search", "model", "validation top-1", "test top-1", "size on disk", "MACs", "speed-up")
COLUMNS += ("course score", "compared", "time", "energy", "CO2eq")
ROWS = ("val_top1", "top1", "size_bytes", "macs", "speedup", "course_score")


def commands() -> list[list[str]]:
    """The commands of the page's results, as words behind ``effdl``."""
    _, _, section = (ROOT / PAGE).read_text().partition("\n## Results\n")
    [block] = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for line in block.replace("\\\n", " ").splitlines()]


def run(words: list[str], folder: Path) -> dict:
    """Carry out a search or continue it; what its ``search.json`` says then.

    Raises:
        RuntimeError: it failed.
    """
    resumed = (folder / "search.json").exists()
    if resumed and (found := json.loads((folder / "search.json").read_bytes())).get("ended"):
        return found
    given = [f"resume={folder}"] if resumed else [*words[1:], f"hydra.run.dir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "effdl", "search", *given], env=environment, cwd=folder.parent)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"effdl {shlex.join(words)}: exit code {done.returncode}")
    return json.loads((folder / "search.json").read_bytes())


def rows(words: list[str], folder: Path, found: dict) -> list[list[str]]:
    """The dense model and the best one as lines of the table."""
    runs = [RunFolder(folder / name) for name in ("dense", found["best"])]
    dense, best = ({**run.result["stages"][-1], **row_of(run)} for run in runs)
    costs = [metric(key).text(found["costs"][key]) for key in ("duration_s", "energy_kwh", "co2eq_g")]
    lines = []
    for name, row in (("dense", dense), ("found", best)):
        values = [metric(key).text(row.get(key)) for key in ROWS]
        lines.append(["", name, *values, *([""] * 4)])
    lines[0][0] = f"`effdl {shlex.join(words)}`"
    lines[1][-4:] = [str(sum(not trial["reason"] for trial in found["trials"])), *costs]
    return lines


def main() -> int:
    """Run everything and rewrite the part; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output, lines = parser.parse_args().output.absolute(), []
    output.mkdir(parents=True, exist_ok=True)
    for number, words in enumerate(commands(), 1):
        folder = output / f"search-{number}"
        print("effdl", shlex.join(words), flush=True)
        found = run(words, folder)
        if not found["best"]:
            raise RuntimeError(f"{folder}: no model keeps to the bounds")
        lines += rows(words, folder, found)
        if number == 1:
            shutil.copyfile(folder / "front.png", ROOT / PICTURE)
    record = RunFolder(output / "search-1" / "dense").run
    where = f"{record['hardware']['cpu']}, {record['threads']} threads, PyTorch {record['versions']['torch']}"
    replace_part(PAGE, "searches", f"{markdown(COLUMNS, lines)}\n\n{where}, {record['started'][:10]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
