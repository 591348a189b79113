"""Run every compression method once on the embedded digits, reload what it stored, and write the table of methods.

    python scripts/run_methods.py OUTPUT_FOLDER

Each line of `METHODS` is one ``effdl train`` command; its run goes to OUTPUT_FOLDER/NAME. Runs that are done are kept,
so the script can be killed and started again. Then every stored model is measured again by ``effdl evaluate``, which
compares the accuracy with the recorded one to the last digit. The table replaces what stands between
``<!-- methods -->`` and ``<!-- /methods -->`` in configs/compression/README.md.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from pages import markdown, replace_part

from effdl.measure.metrics import metric
from effdl.runs.folder import DONE, RunFolder

METRICS = (
    *("top1", "top1_change", "weight_sparsity", "weight_bits", "macs", "size_bytes", "compression_ratio"),
    "latency_runtime",
)
COLUMNS = ("effdl train model=resnet ...", *(metric(key).heading for key in METRICS))
TEACHER = "teacher"

# Name, and what follows `effdl train model=resnet`. {teacher} is the folder of the run of that name.
METHODS = {
    TEACHER: "model.depth=56",
    "magnitude": "prune=0.9",
    "random": "prune=0.5 'compression=[random]'",
    "snip": "prune=0.9 'compression=[snip]'",
    "taylor": "prune=0.9 'compression=[taylor]'",
    "synflow": "prune=0.9 'compression=[synflow]'",
    "iterative": "prune=0.95 compression.magnitude.schedule=iterative compression.magnitude.rounds=4",
    "gradual": "prune=0.9 compression.magnitude.schedule=gradual",
    "soft": "prune=0.9 compression.magnitude.schedule=soft",
    "rewind_lr": "prune=0.9 compression.magnitude.retrain=rewind_lr",
    "rewind_weights": "prune=0.9 compression.magnitude.retrain=rewind_weights",
    "nm": "prune=2:4",
    "filters": "prune=0.5 'compression=[filters]'",
    "slimming": "prune=0.5 'compression=[slimming]'",
    "lowrank": "factorize=0.5",
    "svd": "factorize=0.5 compression.lowrank.method=svd",
    "spatial": "factorize=0.5 'compression=[spatial]'",
    "separable": "model.conv=separable",
    "int8": "quantize=int8",
    "int8_aware": "quantize=int8 'compression=[int8_aware]'",
    "fp16": "quantize=fp16",
    "bf16": "quantize=bf16",
    "lsq": "quantize=4",
    "lsq2": "quantize=2",
    "binary": "quantize=binary",
    "binary_stochastic": "quantize=binary compression.binary.stochastic=true",
    "xnor": "quantize=binary 'compression=[xnor]'",
    "xnor_activations": "quantize=binary 'compression=[xnor]' compression.xnor.activations=true",
    "ternary": "quantize=ternary",
    "kmeans": "quantize=4 'compression=[kmeans]'",
    "logits": "distill={teacher}",
    "hints": "distill={teacher} 'compression=[hints]'",
    "attention": "distill={teacher} 'compression=[attention]'",
    "relational": "distill={teacher} 'compression=[relational]'",
    "born_again": "distill=born_again",
    "mutual": "distill=peer",
    "chain_int8": "prune=0.5 quantize=int8",
    "chain_filters_int8": "prune=0.5 quantize=int8 'compression=[filters,int8]'",
    "chain_kmeans": "factorize=0.5 prune=0.8 quantize=4 'compression=[lowrank,magnitude,kmeans]'",
    "chain_distilled": "prune=0.8 quantize=int8 distill={teacher}",
    "chain_filters_distilled": "prune=0.5 quantize=int8 distill={teacher} 'compression=[logits,filters,int8]'",
    "chain_kmeans_distilled": "factorize=0.5 prune=0.8 quantize=4 distill={teacher} "
    "'compression=[logits,lowrank,magnitude,kmeans]'",
}


def run(name: str, output: Path) -> RunFolder:
    """Carry out one command unless it was, and measure what it stored again.

    Raises:
        RuntimeError: the run failed, or the reloaded model has another accuracy.
    """
    folder = RunFolder(output / name)
    arguments = ["model=resnet", *shlex.split(METHODS[name].format(teacher=output / TEACHER))]
    if folder.run.get("status") != DONE:
        effdl("train", *arguments, f"hydra.run.dir={folder.path}", "resume=true")
    measured = effdl("evaluate", str(folder.path))
    if "the same as recorded, to the last digit" not in measured:
        raise RuntimeError(f"{name}: the stored model has another accuracy:\n{measured}")
    print(f"{name}: {shown(name)}: reloaded to the same accuracy", flush=True)
    return folder


def effdl(*arguments: str) -> str:
    """The output of a command.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run([sys.executable, "-m", "effdl", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"effdl {shlex.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def shown(name: str) -> str:
    """A method's arguments for people."""
    return METHODS[name].format(teacher="RUN")


def row(name: str, folder: RunFolder) -> list[str]:
    """The last stage of a run as cells, its accuracy beside that of the first training."""
    stages = folder.result["stages"]
    last = stages[-1]
    cells = {key: metric(key).cell(last.get(key)) for key in METRICS}
    cells["top1_change"] = metric("top1_change").cell(last["top1"] - stages[0]["top1"]) if len(stages) > 1 else ""
    cells["weight_bits"] += f" / {metric('activation_bits').cell(last['activation_bits'])}"
    cells["latency_runtime"] = last["latency_runtime"] or last["latency_note"]
    return [f"`{shown(name)}`", *cells.values()]


def main() -> int:
    """Run everything and rewrite the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", nargs="+", choices=METHODS, help="run these, and leave the table alone")
    args = parser.parse_args()
    folders = {name: run(name, args.output.absolute()) for name in args.only or METHODS}
    if not args.only:
        rows = [row(name, folder) for name, folder in folders.items()]
        replace_part("configs/compression/README.md", "methods", markdown(COLUMNS, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
