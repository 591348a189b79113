"""The config of a run that is resumed by its folder, which may come from anywhere."""

import sys
from pathlib import Path

import pytest

from effdl.cli.main import main
from effdl.config.compose import composed, settings
from effdl.config.identity import by_option, foreign_code
from effdl.config.restored import restored
from effdl.runs.folder import RunFolder
from effdl.utils.errors import UserError

QUICK = ["model=mlp", "model.hidden=[8]", "prune=0.5", "epochs=1", "dataset.subset=200", "energy.enabled=false"]
HOSTILE = {"_target_": "hostile.touch"}


@pytest.fixture
def stored():
    """What run.json says of a config."""
    return by_option(settings(composed(QUICK, None)))


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A module that leaves a file when it is imported, and one when its function is called."""
    module = "from pathlib import Path\nPath('imported').touch()\ndef touch(*a, **k): Path('called').touch()\n"
    (tmp_path / "hostile.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("hostile", None)


def test_it_is_the_config_of_the_run(stored):
    expected = settings(composed([*QUICK, "resume=true"], None))
    assert restored(stored, ["resume=folder"], trusted=False) == expected


def test_what_is_typed_besides_is_applied(stored):
    found = restored(stored, ["resume=f", "logger=[tensorboard]", "epochs=7", "topk=[1]"], trusted=False)
    assert list(found["logger"]) == ["tensorboard"]
    assert (found["epochs"], found["topk"]) == (7, [1])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "epoch is not a key of the run; did you mean 'epochs'"),
        ("epochs=x", "epochs=x: allowed is a whole number"),
        ("hydra.run.dir=x", "hydra.run.dir=x: resume=FOLDER goes on where the run is"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib: resume=FOLDER goes on"),
        ("~epochs", "allowed besides resume=FOLDER is KEY=VALUE"),
        ("seed=1,2", "allowed besides resume=FOLDER is KEY=VALUE"),
        ("model.hidden.x=1", "model.hidden.x is not a key of the run"),
    ],
)
def test_mistakes_are_named(stored, override, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.").replace("'", ".")):
        restored(stored, [override], trusted=False)


@pytest.mark.parametrize(
    "place",
    [
        ("dataset",), ("model",), ("optimizer",), ("scheduler",), ("teacher",), ("augment", "x"), ("logger", "x"),
        ("compression", "x"), ("compression", "magnitude"), ("compression", "magnitude", "criterion"), ("metric", "x"),
        ("device",), ("energy",), ("topk",), ("evil",), ("model", "hidden"), ("dataset", "inner"),
    ],
)  # fmt: skip
def test_nothing_that_a_folder_names_is_imported_or_called(stored, place, hostile, tmp_path, monkeypatch, effdl):
    *parents, last = place
    node = stored
    for name in parents:
        node = node[name]
    node[last] = {**(node.get(last) if isinstance(node.get(last), dict) else {}), **HOSTILE}
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.start({**stored}, {"threads": 1, "data_fingerprint": "0" * 64})
    run = folder.run
    folder.write_run({**run, "config": stored, "status": "interrupted"})
    (folder.path / ".hydra").mkdir()
    (folder.path / ".hydra" / "overrides.yaml").write_text(
        "- +x._target_=hostile.touch\n- hydra.searchpath=[file:///]\n"
    )
    for command in (["train", f"resume={folder.path}"], ["evaluate", str(folder.path)], ["report", str(folder.path)]):
        code, output, error = effdl(*command)
        assert code == 2, output + error
        assert "Traceback" not in output + error
    assert not Path("imported").exists()
    assert not Path("called").exists()


def test_own_code_is_run_with_trust(tmp_path, monkeypatch, effdl):
    own = tmp_path / "own"
    (own / "model").mkdir(parents=True)
    (own / "tiny.py").write_text(
        "from torch import nn\ndef tiny(channels: int, image_size: int, classes: int) -> nn.Module:\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))\n"
    )
    (own / "model" / "tiny.yaml").write_text("_target_: tiny.tiny\nweights: null\n")
    arguments = ["model=tiny", *QUICK[3:], "hydra.run.dir=run", "--config-dir", str(own)]
    assert effdl("train", *arguments)[0] == 0
    folder = RunFolder("run")
    folder.result_file.unlink()
    folder.update(status="running", pid=0)
    code, _, error = effdl("train", "resume=run", "--config-dir", str(own))
    assert code == 2
    assert "model=tiny.tiny: the run names code that is not part of effdl (--trust runs it)" in error
    assert main(["train", "resume=run", "--config-dir", str(own), "--trust"]) == 0
    assert folder.run["status"] == "done"


def test_shipped_code_is_not_foreign():
    config = settings(composed(["prune=0.5", "quantize=int8", "optimizer=adamw", "logger=[mlflow]"], None))
    assert foreign_code(config) is None
    config["optimizer"]["_target_"] = "torch.optim.Adam"
    assert foreign_code(config) == "optimizer=torch.optim.Adam"
