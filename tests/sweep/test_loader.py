"""Configs of a sweep's jobs against those that Hydra composes by itself."""

import pytest
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.utils import setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from effdl.config.options import config_folder
from effdl.sweep.loader import SweepLoader

JOBS = {
    "plain values": [["model=mlp", "seed=1", "epochs=5"], ["model=mlp", "seed=2", "epochs=3"]],
    "a value nested, a list": [["optimizer.lr=0.3", "topk=[1]"], ["optimizer.lr=0.1", "topk=[1,2]"]],
    "options": [["model=mlp", "seed=1"], ["model=lenet5", "seed=1"], ["model=mlp", "seed=2"]],
    "a key of one option": [["model=mlp", "model.hidden=[3]"], ["model=mlp", "model.hidden=[4,5]"]],
    "a list of options": [["compression=[magnitude]", "prune=0.5"], ["compression=[filters]", "prune=0.4"]],
    "an experiment": [["experiment=mnist_convnet", "epochs=1"], ["experiment=mnist_convnet", "epochs=2"]],
    "null": [["prune=0.5"], ["prune=null"]],
    "Hydra's own": [["seed=1", "hydra.sweep.dir='a b'", "++hydra.job.env_set.A=1"], ["seed=2"]],
    "the same twice": [["seed=1", "seed=2"], ["seed=2", "seed=1"]],
    "added and removed": [["+own=1", "seed=1"], ["+own=2", "~scheduler", "seed=1"]],
}


@pytest.fixture
def hydra_loader():
    """Hydra's loader."""
    version.setbase("1.3")
    setup_globals()
    return ConfigLoaderImpl(create_config_search_path(str(config_folder())))


@pytest.mark.parametrize("case", JOBS)
def test_configs_are_those_of_hydra(hydra_loader, case):
    master = hydra_loader.load_configuration("train", ["hydra.sweep.dir=x"], RunMode.MULTIRUN)
    loader = SweepLoader(HydraContext(config_loader=hydra_loader, callbacks=Callbacks()), master)
    for overrides in [*JOBS[case], *JOBS[case]]:
        ours, theirs = (one.load_sweep_config(master, overrides) for one in (loader, hydra_loader))
        assert OmegaConf.to_container(ours, resolve=False) == OmegaConf.to_container(theirs, resolve=False)
        assert OmegaConf.is_struct(ours)


def test_jobs_that_differ_in_plain_values_are_composed_once(hydra_loader, monkeypatch):
    master = hydra_loader.load_configuration("train", [], RunMode.MULTIRUN)
    loader = SweepLoader(HydraContext(config_loader=hydra_loader, callbacks=Callbacks()), master)
    composed = []
    load = ConfigLoaderImpl.load_configuration
    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", lambda *a, **k: composed.append(1) or load(*a, **k))
    for seed in range(5):
        assert loader.load_sweep_config(master, ["model=mlp", f"seed={seed}"]).seed == seed
    assert len(composed) == 1
