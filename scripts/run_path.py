"""Run the six commands of the first lesson in configs/pretraining/README.md and write what the last one printed there.

    python scripts/run_path.py OUTPUT_FOLDER

The commands are read from the page, and run in OUTPUT_FOLDER; a training that is done there is kept, so the script can
be killed and started again. What `effdl report` prints at 80 columns replaces what stands between ``<!-- path -->`` and
``<!-- /path -->``.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from pages import ROOT, replace_part

from effdl.config.overrides import value_of
from effdl.runs.folder import DONE, RunFolder

PAGE = "configs/pretraining/README.md"


def commands() -> list[list[str]]:
    """The commands of the page's first lesson, as words behind ``effdl``."""
    _, _, lesson = (ROOT / PAGE).read_text().partition("\n## In six commands\n")
    [block] = re.findall(r"^```bash\n(.*?)^```$", lesson.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for line in block.replace("\\\n", " ").splitlines()]


def run(words: list[str], output: Path) -> str:
    """Carry out one command unless it made a run that is done; returns what it printed.

    Raises:
        RuntimeError: it failed.
    """
    folder = value_of(words[1:], "hydra.run.dir") if words[0] == "train" else None
    if folder and RunFolder(output / folder).run.get("status") == DONE:
        return ""
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "effdl", *words]
    done = subprocess.run(command, cwd=output, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"effdl {shlex.join(words)}: {done.stderr}")
    return done.stdout


def main() -> int:
    """Run everything and rewrite the part; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    for words in commands():
        print("effdl", shlex.join(words), flush=True)
        printed = run(words, output)
    replace_part(PAGE, "path", f"```\n{printed.rstrip()}\n```")
    return 0


if __name__ == "__main__":
    sys.exit(main())
