"""Every YAML of dataset/ and augment/ against the function it names, and the ordered list of augmentations."""

import importlib
import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from effdl.config.options import content
from effdl.data.build import load, split_source

CONFIGS = Path(__file__).parents[2] / "configs"
DATASETS = sorted(path.stem for path in (CONFIGS / "dataset").glob("*.yaml"))
AUGMENTS = sorted(path.stem for path in (CONFIGS / "augment").glob("*.yaml") if path.stem != "none")


def function(target):
    module, name = target.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_keys_are_the_keywords_of_source_and_prepare(name):
    path = CONFIGS / "dataset" / f"{name}.yaml"
    config = content(path)
    source = function(config.pop("_target_"))
    assert path.read_text().startswith("# ")
    assert source.__name__ == name
    assert set(config) == set(inspect.signature(source).parameters) | set(
        inspect.getfullargspec(split_source).kwonlyargs
    )


@pytest.mark.parametrize("name", AUGMENTS)
def test_augment_keys_are_the_options_of_the_function(name):
    path = CONFIGS / "augment" / f"{name}.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path))
    method = function(config.pop("_target_"))
    assert path.read_text().startswith(f"# @package augment.{name}\n# ")
    assert config.pop("_partial_") is True
    assert method.__name__ == name
    assert set(config) == set(inspect.getfullargspec(method).kwonlyargs) - {"classes"}  # known at run time only


@pytest.fixture
def composed(tmp_path):
    (tmp_path / "main.yaml").write_text("defaults:\n  - _self_\n  - dataset: digits\n  - augment: [flip_crop]\n")
    for group in ("base", "dataset", "augment"):
        (tmp_path / group).symlink_to(CONFIGS / group)

    def compose_with(*overrides):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return OmegaConf.to_container(compose("main", list(overrides)), resolve=True)

    return compose_with


def test_augmentations_come_in_the_order_given(composed):
    assert list(composed("augment=[mixup,flip_crop]")["augment"]) == ["mixup", "flip_crop"]
    assert list(composed("augment=[flip_crop,cutout,mixup]")["augment"]) == ["flip_crop", "cutout", "mixup"]
    assert composed("augment=[cutout]", "augment.cutout.size=3")["augment"]["cutout"]["size"] == 3


def test_no_augmentation(composed):
    assert composed("augment=none")["augment"] == {}
    assert composed("augment=[none]")["augment"] == {}


def test_what_suits_a_dataset_comes_from_its_file(composed):
    assert composed()["augment"]["flip_crop"] == {
        "_target_": "effdl.data.augment.flip_crop",
        "_partial_": True,
        "flip": False,
        "pad": 1,
    }
    assert composed("dataset=cifar10")["augment"]["flip_crop"]["flip"] is True


def test_a_composed_dataset_loads(composed):
    assert len(load(composed("dataset.subset=100")["dataset"]).train) == 90
