"""The package from Python: cheap to import, and what it offers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import effdl as package
from effdl.utils.errors import RunError, UserError

QUICK = ["model=mlp", "model.hidden=[8]", "epochs=1", "energy.enabled=false"]


def test_importing_is_cheap():
    code = "import sys; import effdl; print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    heavy = ["torch", "hydra", "omegaconf", "pydantic", "rich", "numpy", "pandas", "codecarbon", "matplotlib"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_everything_offered_is_there_and_nothing_else():
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="module 'effdl' has no attribute 'lode_model'"):
        _ = package.lode_model
    assert Path(package.__file__).with_name("py.typed").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("face"))
        return package.train([*QUICK, "prune=0.5"], quiet=True).absolute()


def test_a_run_and_its_model(folder, capfd):
    assert (folder / "result.json").exists()
    model = package.load_model(folder)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert not model.training
    assert capfd.readouterr() == ("", "")


def test_results_have_a_row_per_stage_and_typed_columns(folder):
    pandas = pytest.importorskip("pandas")
    found = package.results(folder.parent.parent)
    assert list(found["stage"]) == ["dense", "prune"]
    assert list(found["params"]) == [64 * 8 + 8 + 8 * 10 + 10] * 2
    assert found.loc[1, "weight_sparsity"] == 0.5
    types = {"stage": "string", "params": "Int64", "top1": "Float64", "dense": "boolean", "seed": "Int64"}
    assert {key: str(found[key].dtype) for key in types} == types
    assert found.loc[0, "top1_change"] is pandas.NA
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        package.results("nowhere")


def test_mistakes_are_raised_not_printed(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = list(sys.argv)
    with pytest.raises(UserError, match="modle is not a key; did you mean 'model'"):
        package.train(["modle=mlp"])
    with pytest.raises(UserError, match="--quick"):
        package.train(["model=mlp", "--quick"])
    with pytest.raises(UserError, match="already holds a run"):
        package.train([*QUICK, f"hydra.run.dir={folder}"])
    with pytest.raises(RunError, match="the loss is"):
        package.train([*QUICK, "optimizer.lr=1e20", "hydra.run.dir=bad"], quiet=True)
    assert sys.argv == before
    assert capfd.readouterr().err == ""


def test_a_run_is_continued_from_python_too(folder):
    assert package.train([f"resume={folder}"], quiet=True).absolute() == folder
