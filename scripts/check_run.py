"""Count everything in a run folder again without effdl's measures, and run its exported ONNX file on the test images.

    python scripts/check_run.py RUN_FOLDER [...]

Zeros, distinct values, bits and file length are counted with numpy on the loaded weights and compared with
``result.json`` and ``layers.jsonl``. If ``effdl export`` has left a ``model.onnx``, onnxruntime alone runs it on the
test images, which must give exactly the top-1 accuracy of ``export.json``. Exit code 1 if anything disagrees.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
from torch import nn

from effdl.data.build import load
from effdl.models.stored import load_model

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Check:
    """Comparisons of one folder, printed as they are made."""

    def __init__(self) -> None:
        self.wrong = 0

    def same(self, what: str, counted: float, reported: float) -> None:
        agree = math.isclose(counted, reported, rel_tol=1e-12)
        self.wrong += not agree
        print(f"  {'ok ' if agree else 'NOT'} {what}: counted {counted}, reported {reported}")


def symbols(weight: np.ndarray) -> tuple[int, int]:
    """Most distinct values in an output channel and in the whole weight, zero not counted."""
    rows = weight.reshape(len(weight), -1)
    return max(len(np.unique(row[row != 0])) for row in rows), len(np.unique(weight[weight != 0]))


def check_counts(folder: Path, check: Check) -> None:
    """Zeros, values, bits and bytes of the stored model."""
    last = json.loads((folder / "result.json").read_text())["stages"][-1]
    rows = [json.loads(line) for line in (folder / "layers.jsonl").read_text().splitlines()]
    rows = {row["name"]: row for row in rows if row["stage"] == last["stage"]}
    model = load_model(folder)
    tensors = [parameter.detach().float().numpy() for parameter in model.parameters()]
    check.same("parameters", sum(t.size for t in tensors), last["params"])
    check.same("non-zero parameters", sum(int((t != 0).sum()) for t in tensors), last["params_nonzero"])
    weights = {name: m.weight.detach().float().numpy() for name, m in model.named_modules() if isinstance(m, LAYERS)}
    zeros, total = sum(int((w == 0).sum()) for w in weights.values()), sum(w.size for w in weights.values())
    check.same("weight sparsity", zeros / total, last["weight_sparsity"])
    mean = sum(rows[name]["weight_bits"] * w.size for name, w in weights.items()) / total
    check.same("mean bits per weight, from the layers", mean, last["weight_bits"])
    for name, weight in weights.items():
        bits = rows[name]["weight_bits"]
        per_channel, whole = symbols(weight)
        fits = min(per_channel, whole) <= 2**bits
        check.wrong += not fits
        print(
            f"  {'ok ' if fits else 'NOT'} {name}: {per_channel} values in a channel, {whole} in all, {bits:g} bits, "
            f"{int((weight == 0).sum())} zeros"
        )
        check.same(f"{name}: non-zero weights", int((weight != 0).sum()), rows[name]["weights_nonzero"])
    check.same("length of the file", len((folder / "model.safetensors").read_bytes()), last["size_bytes"])


def check_onnx(folder: Path, check: Check) -> None:
    """Accuracy of the exported model in onnxruntime."""
    import onnxruntime

    exported = json.loads((folder / "export.json").read_text())
    config = json.loads((folder / "run.json").read_text())["config"]
    data = load(config["dataset"])
    mean, std = (np.array(values, dtype=np.float64).reshape(1, -1, 1, 1) for values in (data.mean, data.std))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    correct, labels = 0, data.test.labels.numpy()
    for start in range(0, len(labels), 250):
        images = data.test.images[start : start + 250].numpy() * (1 / std).astype("f4") + (-mean / std).astype("f4")
        (logits,) = session.run(None, {session.get_inputs()[0].name: images.astype("f4")})
        correct += int((logits.argmax(1) == labels[start : start + 250]).sum())
    check.same("top-1 of model.onnx in onnxruntime", correct / len(labels), exported["onnx"]["top1"])


def main() -> int:
    """Check all folders; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    check = Check()
    for folder in parser.parse_args().folders:
        print(folder)
        check_counts(folder, check)
        if (folder / "model.onnx").exists():
            check_onnx(folder, check)
    print("everything agrees" if not check.wrong else f"{check.wrong} disagreements")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
