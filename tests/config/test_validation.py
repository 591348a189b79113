"""Checks of a config, and what they say."""

import copy
import sys
from functools import partial

import pytest
import torch
import yaml

from effdl.config.instantiate import instantiate, keywords, locate, required
from effdl.config.options import config_folder, content
from effdl.config.schema import GROUPS
from effdl.config.types import Count
from effdl.config.validation import active, check_call, check_settings, check_targets
from effdl.utils.errors import UserError, nearest

RAW = {
    "seed": 0,
    "epochs": 20,
    "batch_size": 64,
    "eval_batch_size": 250,
    "label_smoothing": 0.0,
    "dropout": 0.0,
    "clip_norm": None,
    "l1": 0.0,
    "trainable": "all",
    "unfreeze": None,
    "cached_views": None,
    "ema": None,
    "early_stop": None,
    "topk": [1, 5],
    "prune": None,
    "factorize": None,
    "quantize": None,
    "distill": None,
    "resume": False,
    "pretraining": {},
    "teacher": {},
    "metric": {},
    "logger": {},
    "dataset": {
        "_target_": "effdl.data.digits.digits",
        "val": 0.1,
        "folds": None,
        "fold": 0,
        "subset": None,
        "split_seed": 0,
        "mirror": False,
        "pad": 1,
    },
    "model": {"_target_": "effdl.models.resnet.resnet", "depth": 20, "dropout": "${dropout}", "weights": None},
    "optimizer": {"_target_": "effdl.training.optimizers.sgd", "_partial_": True, "lr": 0.1},
    "scheduler": {"_target_": "effdl.training.schedules.step", "_partial_": True, "milestones": [0.5], "gamma": 0.1},
    "augment": {"cutout": {"_target_": "effdl.data.augment.cutout", "_partial_": True, "size": 8}},
    "compression": {
        "magnitude": {**content(config_folder() / "compression" / "magnitude.yaml"), "level": "${prune}"},
    },
    "device": {
        "name": "auto",
        "precision": "fp32",
        "channels_last": None,
        "compile": False,
        "threads": None,
        "deterministic": True,
        "runtime": "eager",
    },
    "energy": {"enabled": True, "country": None, "pue": 1.0},
}
MISSING = object()


def check(changes=None):
    """Check the config with the values at these dotted paths changed, or taken away."""
    raw = copy.deepcopy(RAW)
    for path, value in (changes or {}).items():
        *parts, last = path.split(".")
        node = raw
        for part in parts:
            node = node[part]
        if value is MISSING:
            del node[last]
        else:
            node[last] = value
    config = copy.deepcopy(raw)
    if "dropout" in config.get("model", {}):
        config["model"]["dropout"] = config.get("dropout") if raw["model"]["dropout"] == "${dropout}" else 0.0
    for node in config.get("compression", {}).values():
        if isinstance(node, dict) and node.get("level") == "${prune}":
            node["level"] = config.get("prune")
    check_settings(config, raw)
    check_targets(config)


def refusal(changes):
    with pytest.raises(UserError) as caught:
        check(changes)
    return str(caught.value)


def test_the_shipped_values_are_accepted():
    check()
    shipped = yaml.safe_load((config_folder() / "train.yaml").read_text())
    assert {key: RAW[key] for key in RAW if key not in GROUPS} == {
        key: value for key, value in shipped.items() if key in RAW and key not in GROUPS
    }
    assert set(GROUPS) <= set(RAW)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("epochs", -1, "epochs=-1: allowed is a whole number >= 0"),
        ("epochs", 1.5, "epochs=1.5: allowed is a whole number >= 0"),
        ("batch_size", 0, "batch_size=0: allowed is a whole number >= 1"),
        ("batch_size", 10**25, f"batch_size={10**25}: allowed is a whole number >= 1 and <= 2147483647"),
        (
            "topk",
            [10**20],
            f"topk=[{10**20}]: allowed is a list [...] of which each is a whole number >= 1 and <= 2147483647",
        ),
        ("seed", 10**20, f"seed={10**20}: allowed is a whole number >= 0 and <= 9223372036854775807"),
        ("dataset.split_seed", 10**20, f"dataset.split_seed={10**20}: allowed is a whole number >= 0 and <= 92233"),
        ("dataset.pad", 10**9, "dataset.pad=1000000000: allowed is a whole number >= 0 and <= 1024"),
        ("model.width", 1e-30, "model.width=1e-30: allowed is a number >= 0.001 and <= 1000"),
        ("device.threads", 100_000, "device.threads=100000: allowed is a whole number >= 1 and <= "),
        ("prune", 1.0, "prune=1.0: allowed is a number >= 0 and < 1, or a number > 1, or N:M, such as 2:4, or null"),
        ("prune", True, "prune=true: allowed is a number >= 0 and < 1, or a number > 1, or N:M, such as 2:4, or null"),
        ("clip_norm", 0, "clip_norm=0: allowed is a number > 0, or null"),
        ("topk", [1, 0], "topk=[1, 0]: allowed is a list [...] of which each is a whole number >= 1"),
        ("resume", None, "resume=null: allowed is true or false, or a run folder"),
        ("device.name", "gpu", "device.name=gpu: allowed is one of auto, cpu, cuda, mps"),
        ("device.channels_last", "x", "device.channels_last=x: allowed is true or false, or null"),
        (
            "device.precison",
            "fp16",
            "device.precison is not a key; did you mean 'precision'? "
            "(allowed: name, precision, channels_last, compile, threads, deterministic, runtime)",
        ),
        ("model.depth", 21, "model.depth=21: allowed is one of 8, 20, 32, 44, 56, 110"),
        ("model.depth", 20.0, "model.depth=20.0: allowed is one of 8, 20, 32, 44, 56, 110"),
        ("model.weights", 3, "model.weights=3: allowed is a text, or null"),
        (
            "model.dept",
            20,
            "model.dept is not a key; did you mean 'depth'? (allowed: depth, width, blocks, widths, conv, groups,",
        ),
        ("optimizer.lr", 0, "optimizer.lr=0: allowed is a number > 0"),
        ("optimizer.layer_decay", 0, "optimizer.layer_decay=0: allowed is a number > 0 and <= 1, or null"),
        ("optimizer.layer_decay", 1.1, "optimizer.layer_decay=1.1: allowed is a number > 0 and <= 1, or null"),
        ("optimizer.model", 0, "optimizer.model is not a key (allowed: lr, momentum, nesterov,"),
        (
            "scheduler.milestones",
            [1.0],
            "scheduler.milestones=[1.0]: allowed is a list [...] of which each is a number >= 0 and < 1",
        ),
        ("scheduler.epochs", 3, "scheduler.epochs is not a key (allowed: milestones, gamma, warmup)"),
        ("dataset.val", 1, "dataset.val=1: allowed is a number >= 0 and < 1"),
        ("dataset.roots", "x", "dataset.roots is not a key (allowed: val, folds, fold"),
        ("augment.cutout.size", 0, "augment.cutout.size=0: allowed is a whole number >= 1"),
        ("compression.magnitude.stage", 3, "compression.magnitude.stage=3: allowed is a text"),
        ("compression.magnitude.lr_scale", 0, "compression.magnitude.lr_scale=0: allowed is a number > 0"),
        ("compression.magnitude.model", 0, "compression.magnitude.model is not a key"),
        ("energy.enabled", "yes", "energy.enabled=yes: allowed is true or false"),
    ],
)
def test_a_wrong_value_or_key_is_named_with_what_is_allowed(path, value, message):
    assert refusal({path: value}).startswith(message)


def test_an_unknown_key_of_the_run_is_compared_with_the_groups_too():
    assert refusal({"modle": 3}).startswith("modle is not a key; did you mean 'model'? (allowed: seed, epochs,")
    assert refusal({"epoch": 3}).startswith("epoch is not a key; did you mean 'epochs'?")


@pytest.mark.parametrize("key", sorted(RAW))
def test_a_key_of_the_run_cannot_be_taken_away(key):
    assert refusal({key: MISSING}) == f"{key} is missing: it needs a value"


@pytest.mark.parametrize("path", ["device.name", "dataset.val", "compression.magnitude.level", "energy.pue"])
def test_nor_can_one_without_a_default(path):
    assert refusal({path: MISSING}) == f"{path} is missing: it needs a value"


def test_a_key_with_a_default_can():
    check({"optimizer.lr": MISSING, "model.depth": MISSING, "model.weights": MISSING})


@pytest.mark.parametrize("node", [None, 3, {}, {"lr": 0.1}])
def test_a_node_that_names_no_function(node):
    assert refusal({"optimizer": node}).endswith("allowed is one of the options that `effdl list optimizer` shows")
    assert refusal({"compression.magnitude": node}).endswith("`effdl list compression` shows")


# --- values that depend on each other


def test_a_level_needs_a_step():
    assert refusal({"prune": 0.5, "compression": {}}) == (
        "prune=0.5 has no step to use it: add one to compression=[...]"
    )
    assert "has no step" in refusal({"prune": 0.5, "compression.magnitude.level": 0.5})
    check({"prune": 0, "compression": {}})
    check({"prune": 0.5})


def test_early_stop_needs_a_validation_split():
    assert refusal({"early_stop": 3, "dataset.val": 0}) == (
        "early_stop=3 needs a validation split: set dataset.val above 0"
    )
    check({"early_stop": 3})
    check({"early_stop": 3, "dataset.val": 0, "dataset.folds": 5})


def test_dropout_needs_a_model_that_has_it():
    timm = {"_target_": "effdl.models.timm.timm", "name": "resnet18", "weights": None}
    assert refusal({"dropout": 0.1, "model": timm}) == ("dropout=0.1 has no effect: this model takes none (allowed: 0)")
    check({"dropout": 0.1})
    check({"dropout": 0, "model": timm})


# --- functions of other packages


def test_an_optimizer_of_pytorch_is_accepted_by_name():
    node = {"_target_": "torch.optim.RAdam", "lr": 0.01, "betas": [0.9, 0.99], "foreach": None}
    check_call("optimizer", node, {})
    with pytest.raises(UserError, match=r"optimizer\.learning_rate is not a key"):
        check_call("optimizer", {**node, "learning_rate": 0.1}, {})
    with pytest.raises(UserError, match=r"optimizer\.weight_decay=much: allowed is a number$"):
        check_call("optimizer", {**node, "weight_decay": "much"}, {})
    with pytest.raises(UserError, match=r"optimizer\.params is not a key"):
        check_call("optimizer", {**node, "params": []}, {})


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "NAdam", "Adadelta"])
def test_every_key_of_pytorch_optimizers_is_known(name):
    assert {"lr", "weight_decay", "foreach"} <= set(keywords(getattr(torch.optim, name)))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's own."""
    (tmp_path / "users_own.py").write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from effdl.config.types import Count\n"
        "if TYPE_CHECKING:\n    from nowhere import Thing\n"
        "def half_known(model, *, thing: Thing, size: int): ...\n"
        "def known(model, *, size: Count, free=None): ...\n"
        "def positional(root: str, size: Count): ...\n"
        "class Network:\n    def __init__(self, channels, image_size, classes, width: Count = 1): ...\n"
        "VALUE = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "users_own"
    sys.modules.pop("users_own", None)


def test_functions_of_the_users_own(module):
    check_call("model", {"_target_": f"{module}.known", "size": 3, "free": [1]}, {})
    with pytest.raises(UserError, match=r"model\.size=0: allowed is a whole number >= 1"):
        check_call("model", {"_target_": f"{module}.known", "size": 0}, {})
    with pytest.raises(UserError, match=r"model\.size is missing"):
        check_call("model", {"_target_": f"{module}.known"}, {})
    check_call("model", {"_target_": f"{module}.half_known", "thing": 1, "size": "x"}, {})
    assert keywords(locate(f"{module}.Network"), ("channels", "image_size", "classes")) == {"width": Count}
    assert keywords(locate(f"{module}.positional")) == {"root": str, "size": Count}
    assert required(locate(f"{module}.half_known")) == ["thing", "size"]


@pytest.mark.parametrize(
    "target",
    [
        None,
        3,
        "",
        "nothing",
        "no.such.module",
        "effdl.training.optimizers.none",
        "effdl.nothing.sgd",
        "..x",
        "users_own.VALUE",
        "effdl.training.optimizers",
    ],
)
def test_what_is_not_a_function_is_refused(module, target):
    with pytest.raises(UserError, match=f"_target_={target}"):
        check_call("optimizer", {"_target_": target}, {})


# --- small things


@pytest.mark.parametrize(
    ("word", "hint"),
    [("resnt", "; did you mean 'resnet'?"), ("resnet19", "; did you mean 'resnet18'?"), ("xyz", ""), ("", "")],
)
def test_nearest(word, hint):
    assert nearest(word, ["vgg", "resnet", "resnet18", "mlp"]) == hint


def test_keywords_are_those_after_the_star():
    assert keywords(locate("effdl.models.torchvision.torchvision")).keys() == {"name"}  # `pretrained` is for `build`
    assert keywords(locate("effdl.models.mlp.mlp")).keys() == {"hidden", "width", "activation", "dropout", "batchnorm"}


def test_instantiate_calls_or_binds():
    node = {"_target_": "effdl.training.schedules.step", "milestones": [0.5], "gamma": 0.5}
    assert instantiate(node, 6, 10, []) == 0.5
    bound = instantiate({**node, "_partial_": True, "stage": "x"})
    assert isinstance(bound, partial)
    assert bound.keywords == {"milestones": [0.5], "gamma": 0.5}
    assert bound(6, 10, []) == 0.5


def test_an_experiment_without_its_pretraining_has_none():
    on = {"_target_": "effdl.pretraining.simclr.simclr", "epochs": 3}
    assert active({"compression": {}, "pretraining": on})["pretraining"] == on
    assert active({"compression": {}, "pretraining": {"epochs": 3}})["pretraining"] == {}
    assert active({"compression": {}}) == {"compression": {}}


def test_layers_that_numbers_name_are_texts():
    steps = {
        "magnitude": {"level": 0.5, "exclude": [0, "9", "fc*"]},
        "hints": {"level": "self", "student_layers": [3], "teacher_layers": None},
        "lsq": {"level": None, "exclude": [1]},
    }
    assert active({"compression": steps})["compression"] == {
        "magnitude": {"level": 0.5, "exclude": ["0", "9", "fc*"]},
        "hints": {"level": "self", "student_layers": ["3"], "teacher_layers": None},
    }
