"""Pretrain by every method on the embedded digits, train with 50 labels, and write the table of what came out.

    python scripts/run_pretraining.py OUTPUT_FOLDER

Each run goes to OUTPUT_FOLDER/METHOD; those that are done are kept, so the script can be killed and started again. The
table replaces what stands between ``<!-- pretraining -->`` and ``<!-- /pretraining -->`` in
configs/pretraining/README.md.
"""

import argparse
import sys
from pathlib import Path

from pages import markdown, replace_part
from run_methods import effdl

from effdl.config.options import config_folder, option_files
from effdl.measure.metrics import metric
from effdl.runs.folder import DONE, RunFolder

MLP = "model=mlp model.hidden=[128,64] optimizer.lr=0.05"
MODELS = {"masked": "model=vit model.patch=2 model.dim=64 model.depth=2 model.heads=2 optimizer=adamw"}
SHARED = ("dataset.labelled=50", "epochs=20")
PRETRAINED = ("val_knn_top1", "embedding_rank", "duration_s", "training_flops")
COLUMNS = ("run", *(metric(key).heading for key in PRETRAINED), "validation top-1 after training")


def run(method: str, output: Path) -> list[str]:
    """Carry out one run unless it was; returns its row of the table."""
    folder = RunFolder(output / method)
    typed = MODELS.get(method, MLP)
    if method != "none":
        typed += f" pretraining={method} pretraining.epochs=20" + (
            " pretraining.lr_scale=1" if "adamw" in typed else ""
        )
    if folder.run.get("status") != DONE:
        effdl("train", *typed.split(), *SHARED, f"hydra.run.dir={folder.path}", "resume=true")
    *before, dense = folder.result["stages"]
    cells = [metric(key).cell(before[0][key]) if before else "" for key in PRETRAINED]
    print(method, *cells, flush=True)
    return [f"`{typed}`", *cells, metric("val_top1").cell(dense["val_top1"])]


def main() -> int:
    """Run everything and rewrite the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output.absolute()
    methods = ["none", *(name for name in option_files("pretraining", config_folder()) if name != "none")]
    text = markdown(COLUMNS, [run(method, output) for method in methods])
    replace_part("configs/pretraining/README.md", "pretraining", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
