"""Configs by options and by code: two views of one thing, for every option that is shipped."""

import json

import pytest
import yaml

from effdl.config.identity import (
    LISTS,
    SINGLE,
    by_option,
    by_target,
    essential,
    fingerprint,
    flatten,
    is_shipped,
    node_by_option,
    node_by_target,
)
from effdl.config.options import config_folder, shipped_code
from effdl.utils.errors import UserError

GROUPS = sorted({*SINGLE.values(), *LISTS})
OPTIONS = [(group, option) for group in GROUPS for option in shipped_code(group)]
RESNET = {"_target_": "effdl.models.resnet.resnet", "depth": 20, "width": 1.0}


def node_of(group, option):
    """The node that an option's file gives, with a key of its own."""
    node = {"own": 7}
    for key, value in shipped_code(group)[option].items():
        *path, last = key.split(".")
        inner = node
        for name in path:
            inner = inner.setdefault(name, {"deep": 8})
        inner[last] = value
    return node


def test_the_shipped_options_were_found():
    assert {"resnet", "mlp"} <= set(shipped_code("model"))
    assert shipped_code("model")["resnet"] == {"_target_": "effdl.models.resnet.resnet"}
    assert shipped_code("optimizer")["sgd"] == {"_target_": "effdl.training.optimizers.sgd", "_partial_": True}
    assert len(OPTIONS) > 60


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_the_two_views_are_inverse(group, option):
    node = node_of(group, option)
    stored = node_by_option(group, node)
    if "_target_" in node:
        assert stored["option"] == option
        assert "_target_" not in json.dumps(stored)
        assert "_partial_" not in json.dumps(stored)
        assert is_shipped(group, node)
        assert is_shipped(group, stored)
    assert stored["own"] == 7
    assert node_by_target(group, stored) == node
    assert node_by_option(group, node_by_target(group, stored)) == stored
    assert node_by_option(group, stored) == stored


def test_the_whole_config_by_options():
    config = {
        "seed": 3,
        "model": RESNET,
        "teacher": {**RESNET, "depth": 56},
        "compression": {"magnitude": {"_target_": "effdl.compression.prune.unstructured.prune", "level": 0.5}},
        "logger": {"mine": None},
    }
    stored = by_option(config)
    assert stored["seed"] == 3
    assert stored["model"] == {"option": "resnet", "depth": 20, "width": 1.0}
    assert stored["teacher"] == {"option": "resnet", "depth": 56, "width": 1.0}
    assert stored["logger"] == {"mine": None}
    assert by_target(stored) == config
    assert config["model"] is RESNET  # nothing was changed in place
    assert "option" not in RESNET


def test_code_from_elsewhere_keeps_its_path():
    node = {"_target_": "mine.nets.wide", "depth": 3}
    stored = node_by_option("model", node)
    assert stored == {"option": "wide", "_target_": "mine.nets.wide", "depth": 3}
    assert node_by_option("model", stored) == stored
    assert node_by_target("model", stored) == node
    assert not is_shipped("model", node)
    assert not is_shipped("model", stored)


@pytest.mark.parametrize("target", ["mine.resnet", "os.system", "effdlx.models.resnet.resnet"])
def test_the_name_alone_does_not_make_code_ours(target):
    stored = node_by_option("model", {"_target_": target})
    assert stored["_target_"] == target
    assert not is_shipped("model", {"_target_": target})


def test_paths_of_earlier_layouts_are_understood():
    sgd = {"_target_": "effdl.optim.sgd", "_partial_": True, "lr": 0.1}
    assert node_by_option("optimizer", sgd) == {"option": "sgd", "lr": 0.1}
    assert node_by_target("optimizer", sgd) == {**sgd, "_target_": "effdl.training.optimizers.sgd"}
    schedule = {"_target_": "effdl.schedule.one_cycle", "_partial_": True, "peak": 0.25}
    assert node_by_option("scheduler", schedule) == {"option": "one_cycle", "peak": 0.25}


@pytest.mark.parametrize("option", ["resnt", "../model/resnet", "/etc/passwd", "resnet.yaml", "", None])
def test_options_that_are_not_there_are_refused(option):
    with pytest.raises(UserError, match=r"is no option of this version \(allowed: .*resnet"):
        node_by_target("model", {"option": option, "depth": 20})


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": {}, "f": None}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": {},
        "f": None,
    }


def test_what_is_incidental_does_not_count():
    config = {"seed": 0, "model": RESNET, "dataset": {"option": "digits", "val": 0.1}}
    moved = {**config, "resume": True, "logger": {"x": {}}}
    moved["dataset"] = {**config["dataset"], "root": "/data", "download": True}
    assert essential(moved) == {
        "seed": 0,
        "model.option": "resnet",
        "model.depth": 20,
        "model.width": 1.0,
        "dataset.option": "digits",
        "dataset.val": 0.1,
    }
    assert fingerprint(moved) == fingerprint(config) == fingerprint(by_option(config))
    assert len(fingerprint(config)) == 64
    assert fingerprint({**config, "seed": 1}) != fingerprint(config)
    # "resume" is a key, not the beginning of one
    assert essential({"resumed": 1}) == {"resumed": 1}


def test_the_order_of_steps_counts():
    steps = {"a": {"option": "magnitude"}, "b": {"option": "int8"}}
    other = dict(reversed(steps.items()))
    assert fingerprint({"compression": steps}) != fingerprint({"compression": other})


def test_a_fingerprint_is_for_ever():
    """Runs are found by it: a change of this number orphans all of them."""
    config = {"seed": 0, "epochs": 2, "model": RESNET}
    text = '{"seed": 0, "epochs": 2, "model.option": "resnet", "model.depth": 20, "model.width": 1.0}'
    assert json.dumps(essential(config)) == text
    assert fingerprint(config) == "8ff0298cdd4e9c37503aaa8fb244f5f7f832e846af23c537cbb6185b96a7546d"


def test_a_key_that_came_later_counts_only_with_another_value():
    before = {"model": {"option": "mlp", "width": 1.0}}
    config = {"model": {"option": "mlp", "activation": "relu", "width": 1.0}}
    assert essential(config) == essential(before)
    assert fingerprint(config) == fingerprint(before)
    config["model"]["activation"] = "tanh"
    assert essential(config) == {"model.option": "mlp", "model.activation": "tanh", "model.width": 1.0}
    steps = [{"compression": {"xnor": {"option": "xnor", **keys}}} for keys in ({}, {"activations": False})]
    assert fingerprint(steps[0]) == fingerprint(steps[1])


def test_every_shipped_file_is_an_option():
    for group in GROUPS:
        assert set(shipped_code(group)) == {file.stem for file in (config_folder() / group).glob("*.yaml")}
    assert yaml.safe_load((config_folder() / "model/resnet.yaml").read_text())["_target_"] == RESNET["_target_"]
