"""The program on the format's page reads what effdl stores, bit for bit, without effdl."""

import re
from pathlib import Path

import pytest
import torch

from effdl.models import storage
from effdl.nn.fake_quant import QuantGrid

PAGE = Path(storage.__file__).with_name("README.md")
# Runs of small networks, and kinds of tensors that are in their files.
RUNS = {
    "pruned": (["model=mlp", "prune=0.9"], {("sparse",), ("dense",)}),
    "lsq": (["model.depth=8", "quantize=4"], {("dense", "grid")}),
    "kmeans": (["model=mlp", "prune=0.7", "quantize=4", "compression=[magnitude,kmeans]"], {("sparse", "palette")}),
}


@pytest.fixture(scope="module")
def read():
    """The function `read` of the page's program, which is short and imports nothing of effdl or PyTorch."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(program.splitlines()) < 80
    assert not re.search(r"import (effdl|torch)|from (effdl|torch)", program)
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    return names["read"]


def assert_same(found, state):
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].shape == tuple(tensor.shape), name
        assert found[name].tobytes() == tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), name


@pytest.mark.parametrize("name", RUNS)
def test_models_of_runs(effdl, read, name):
    overrides, kinds = RUNS[name]
    quick = ["epochs=1", "dataset.subset=200", "energy.enabled=false", "hydra.run.dir=run"]
    code, _, error = effdl("train", *overrides, *quick)
    assert code == 0, error
    tensors, description = read("run/model.safetensors")
    state, model = storage.read("run/model.safetensors")
    assert_same(tensors, state)
    assert description == model
    assert kinds <= {tuple(row["kind"].split()) for row in storage.breakdown("run/model.safetensors").values()}


@pytest.mark.parametrize("seed", range(10))
def test_tensors_of_all_types_and_sparsities(tmp_path, read, seed):
    generator = torch.Generator().manual_seed(seed)
    state, grids = {}, {}
    for dtype in (torch.float32, torch.float16, torch.float64, torch.bfloat16, torch.float8_e5m2, torch.int64):
        for shape in ((), (0, 3), (7,), (30, 41)):
            tensor = (torch.randn(shape, generator=generator) * 50).to(dtype)
            kept = torch.rand(shape, generator=generator) < torch.rand((), generator=generator)
            state[f"{dtype} {shape}"] = torch.where(kept, tensor.float(), 0.0).to(dtype)
    state["flags"] = torch.rand(100, generator=generator) < 0.5
    state["minus zero"] = torch.tensor([-0.0, 0.0, 1.0])
    for bits in range(1, 9):
        codes = torch.randint(2**bits, (40, 25), generator=generator) - 2 ** (bits - 1)
        codes = torch.where(codes < 0, -1, 1) if bits == 1 else codes
        kept = torch.rand(40, 25, generator=generator) < torch.rand((), generator=generator)
        scale = torch.rand((), generator=generator) if seed % 2 else torch.rand(40, 1, generator=generator)
        state[f"grid {bits}"] = (codes * kept).float() * scale
        grids[f"grid {bits}"] = QuantGrid(scale, bits)
    storage.write(tmp_path / "x", state, {"text": "é"}, grids)
    tensors, description = read(tmp_path / "x")
    assert_same(tensors, state)
    assert description == {"text": "é"}


def test_a_damaged_file_is_refused(tmp_path, read):
    storage.write(tmp_path / "x", {"a": torch.randn(100)}, {})
    data = bytearray((tmp_path / "x").read_bytes())
    data[-50] ^= 1
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        read(tmp_path / "x")
