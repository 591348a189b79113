"""What runs and parts of configs are called."""

import pytest

from effdl.config.identity import fingerprint
from effdl.config.naming import folder_name, option_name, title

CONFIG = {
    "seed": 3,
    "model": {"option": "resnet", "depth": 20},
    "dataset": {"option": "digits"},
    "prune": 0.5,
    "factorize": None,
    "quantize": None,
    "distill": None,
}


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ({"option": "resnet"}, "resnet"),
        ({"_target_": "effdl.models.resnet.resnet"}, "resnet"),
        ({"option": "timm", "name": "vit_tiny"}, "timm vit_tiny"),
        ({"_target_": "mine.nets.wide", "name": "x"}, "wide x"),
    ],
)
def test_a_node_is_called_by_its_option(node, name):
    assert option_name(node) == name


def test_title():
    assert title(CONFIG) == "resnet on digits"


def test_a_folder_says_model_levels_and_seed():
    assert folder_name(CONFIG) == f"resnet-prune0.5-seed3-{fingerprint(CONFIG)[:8]}"
    both = {**CONFIG, "prune": None, "quantize": 4, "distill": "self"}
    assert folder_name(both) == f"resnet-quantize4-distillself-seed3-{fingerprint(both)[:8]}"
    timm = {**CONFIG, "model": {"option": "timm", "name": "vit_tiny"}}
    assert folder_name(timm).startswith("vit_tiny-prune0.5-seed3-")


@pytest.mark.parametrize("distill", ["../../etc/passwd", "/home/me/outputs/run", "a b;c|d", "x" * 500])
def test_no_value_makes_a_folder_elsewhere(distill):
    name = folder_name({**CONFIG, "distill": distill})
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) < 90
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
