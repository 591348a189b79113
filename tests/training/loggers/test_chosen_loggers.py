"""Loggers chosen on the command line."""

import json
import sys
from pathlib import Path

import pytest

MISSING = {
    "tensorboard": ("torch.utils.tensorboard", "pip install 'effdl[tensorboard]'"),
    "mlflow": ("mlflow", "pip install 'effdl[mlflow]'"),
    "wandb": ("wandb", "pip install 'effdl[wandb]'"),
}


@pytest.mark.parametrize("logger", MISSING)
def test_a_missing_library_is_told_before_any_training(effdl, monkeypatch, forget, logger):
    library, advice = MISSING[logger]
    forget(library, "effdl.training.loggers")
    monkeypatch.setitem(sys.modules, library, None)
    code, _, error = effdl("train", "model=mlp", f"logger={logger}")
    assert code == 2
    assert error.startswith(f"effdl: logger={logger}: ")
    assert advice in error
    assert len(error.splitlines()) == 1
    assert not list(Path.cwd().iterdir())


def test_two_loggers_of_one_run(effdl):
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    quick = ("model=mlp", "epochs=1", "device.threads=1", "energy.enabled=false", "hydra.run.dir=run")
    assert effdl("train", *quick, "logger=[tensorboard,wandb]")[0] == 0
    assert len(list(Path("run/tensorboard").iterdir())) == len(list(Path("run/wandb").glob("offline-run-*"))) == 1
    run = json.loads(Path("run/run.json").read_text())
    assert list(run["config"]["logger"]) == ["tensorboard", "wandb"]
    assert "WARNING" not in Path("run/train.log").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("logger=mlfow", "logger=mlfow is not an option; did you mean 'mlflow'?"),
        ("logger=[wandb] logger.wandb.mode=public", "logger.wandb.mode=public: allowed is one of offline, online"),
        ("logger=[mlflow,mlflow]", "logger=[mlflow,mlflow]: an option can be in the list once"),
    ],
)
def test_a_mistake_is_named(effdl, override, message):
    code, _, error = effdl("train", "model=mlp", *override.split())
    assert (code, message in error) == (2, True)
