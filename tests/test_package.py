"""The wheel holds what a user without the source needs."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_the_wheel_ships_configs_and_digits(tmp_path):
    pytest.importorskip("build")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    files = [path for path in (ROOT / "configs").rglob("*") if path.suffix in (".yaml", ".json")]
    configs = {f"effdl/configs/{path.relative_to(ROOT / 'configs')}" for path in files}
    assert "effdl/configs/base/splits.yaml" in configs
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "effdl").rglob("*.py")}
    assert configs | modules | {"effdl/data/digits.npz", "effdl/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "outputs", "scripts")) for name in names)


def test_the_committed_example_is_what_it_says():
    from effdl.models.stored import load_model

    example = ROOT / "outputs" / "example"
    dense, pruned = json.loads((example / "result.json").read_text())["stages"]
    model = load_model(example)
    zeros = sum(int((parameter == 0).sum()) for parameter in model.parameters())
    assert zeros == pruned["params"] - pruned["params_nonzero"]
    assert (example / "model.safetensors").stat().st_size == pruned["size_bytes"]
    assert pruned["weight_sparsity"] == 0.5
    assert min(dense["top1"], pruned["top1"]) >= 0.97
