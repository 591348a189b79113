"""Walk the smallest model of every family of timm and torchvision through everything effdl does with a model.

    python scripts/walk_families.py FOLDER [--workers N]        walk; goes on where it was stopped
    python scripts/walk_families.py FOLDER --page               write the table in configs/compression/families.md
    python scripts/walk_families.py --choose                    write anew which model stands for each family

Each model has random weights, images as small as it takes, and a process of its own. It is loaded, trained for two
updates, compressed by one method of each kind, stored, read back (the logits must be bit-identical), and exported; its
MACs are compared with PyTorch's own counter. Compressed models of more than LARGEST parameters are not written to a
file (packing zeros and codes is slow), but made again from what it would say. FOLDER/FAMILY.jsonl has a line for each
check, with the outcome: ``yes``, ``refused`` (before any training, with the reason), ``fails``, or ``late`` (it took
more than SECONDS of the processor).
"""

import argparse
import json
import os
import warnings
from pathlib import Path

import timm  # noqa: F401 (imported once, for all processes)
import torch
import torchvision  # noqa: F401
from families.chosen import choose, families
from families.table import table
from families.walker import walk
from pages import replace_part

PAGE = "configs/compression/families.md"


def walk_all(folder: Path, chosen: dict[str, str], workers: int) -> None:
    """Walk the models that were not walked before, each in a process that is forked from this one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    running: set[int] = set()
    for key, name in chosen.items():
        if (folder / f"{key}.jsonl").exists():
            continue
        if len(running) == workers:
            running.discard(os.wait()[0])
        process = os.fork()
        if not process:
            walk_one(folder, key, name)
            os._exit(0)
        running.add(process)
    while running:
        running.discard(os.wait()[0])


def walk_one(folder: Path, key: str, name: str) -> None:
    """Walk one model and write its lines."""
    lines: list[tuple[str, str, str]] = []
    walk(key.partition(" ")[0], name, lambda *line: lines.append(line))
    file = folder / f"{key}.jsonl"
    file.with_suffix(".new").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file.with_suffix(".new").replace(file)
    print(key, name, *(f"{check}:{outcome}" for check, outcome, _ in lines if outcome != "yes"), flush=True)


def main() -> None:
    """Carry out what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", default="", help="regular expression of families or models")
    parser.add_argument("--page", action="store_true", help="write the table")
    parser.add_argument("--choose", action="store_true", help="choose the models")
    parser.add_argument("--workers", type=int, default=1, help="models that are walked at the same time")
    asked = parser.parse_args()
    if asked.choose:
        choose()
    elif asked.page:
        replace_part(PAGE, "families", table(asked.folder))
    else:
        walk_all(asked.folder, families(asked.only), asked.workers)


if __name__ == "__main__":
    main()
