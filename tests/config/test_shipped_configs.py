"""Every shipped config file is composed, checked, and what it names is built and used."""

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch
import yaml
from torch import nn

from effdl.compression.method import Kind, kind_of
from effdl.compression.pipeline import distillation_losses_of, stages_of, steps_on
from effdl.config.compose import composed, settings
from effdl.config.experiments import config_of
from effdl.config.identity import LISTS, fingerprint
from effdl.config.instantiate import instantiate, locate
from effdl.config.options import BASE, code_of, config_folder, content, shipped_code
from effdl.config.schema import GROUPS
from effdl.config.validation import check_targets
from effdl.models.build import build
from effdl.runs.prepare import recipe_of
from effdl.training.device import select_device
from effdl.utils.errors import UserError

FOLDER = config_folder()
FILES = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.yaml"))

FITTING = {"torchvision": "model.name=mobilenet_v3_small", "timm": "model.name=mobilenetv3_small_050"}


def options(group):
    return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))


@cache
def config(*overrides):
    config = settings(composed(list(overrides), None))
    check_targets(config)
    return config


def choice(group, option):
    return f"{group}=[{option}]" if group in LISTS else f"{group}={option}"


LEVELS = {
    "prune": ["0.5", "2:4"],
    "factorize": ["0.5"],
    "quantize": ["4", "int8", "fp16", "binary", "ternary"],
    "distill": ["self", "peer", "born_again"],
}


@cache
def turned_on(option):
    """Overrides that choose a compression method and a level that it takes."""
    stage = content(FOLDER / "compression" / f"{option}.yaml")["stage"]
    for level in LEVELS[stage]:
        overrides = (choice("compression", option), f"{stage}={level}")
        with suppress(UserError):
            config(*overrides)
            return overrides
    raise AssertionError(f"no level turns {option} on")


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 10))


def test_every_group_is_known():
    assert {path.parent.as_posix() for path in FILES if len(path.parts) > 1} == {
        *GROUPS,
        BASE,
        "experiment",
        "hydra/sweeper",
    }


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_first_comment_is_a_description(path):
    lines = (FOLDER / path).read_text().splitlines()
    if lines[0].startswith("# @package"):
        lines = lines[1:]
    assert lines[0].startswith("# ")
    assert 5 < len(lines[0]) <= 120
    assert not lines[0].endswith(".")


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in LISTS], ids=str)
def test_a_file_of_a_list_puts_itself_under_its_own_name(path):
    group, name = path.parts[0], path.stem
    package = group if name == "none" else f"{group}.{name}"
    assert (FOLDER / path).read_text().startswith(f"# @package {package}\n")


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in GROUPS for option in options(group)])
def test_every_option_is_composed_and_checked(group, option):
    written = content(FOLDER / group / f"{option}.yaml")
    found = config(*(turned_on(option) if group == "compression" else [choice(group, option)]))[group]
    if group in LISTS:
        assert list(found) == ([option] if written else [])
        found = found.get(option, {})
    assert list(found) == list(written)
    assert shipped_code(group)[option] == code_of(found)
    for key, value in written.items():
        if "$" not in str(value) and key != "root":
            assert found[key] == value, key
    assert "root" not in found or Path(found["root"]).is_absolute()


def test_what_base_files_say_is_part_of_an_option():
    snip = content(FOLDER / "compression" / "snip.yaml")
    assert snip["criterion"] == {
        "_target_": "effdl.compression.prune.criteria.snip.snip",
        "_partial_": True,
        "images": 128,
    }
    assert list(shipped_code("compression")["snip"]) == [
        "_target_",
        "_partial_",
        "criterion._target_",
        "criterion._partial_",
    ]
    mnist = content(FOLDER / "dataset" / "mnist.yaml")
    assert (mnist["_target_"], mnist["root"], mnist["val"]) == ("effdl.data.torchvision_sets.mnist", "data", 0.1)


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == BASE], ids=str)
def test_every_base_file_is_taken_over_by_several_options(path):
    entry = f"/{path.with_suffix('').as_posix()}@_here_"
    assert sum(f"- {entry}\n  - " in (FOLDER / other).read_text() for other in FILES) > 1


def test_two_methods_may_take_over_the_same_base_file():
    names = ["taylor", "snip", "magnitude"]
    found = config(f"compression=[{','.join(names)}]", "prune=0.5")["compression"]
    assert list(found) == names
    assert [node["criterion"]["_target_"].rpartition(".")[2] for node in found.values()] == names


def test_an_option_of_ones_own_may_take_over_a_base_file(tmp_path):
    (tmp_path / "device").mkdir()
    text = "# Mine\ndefaults:\n  - /base/device@_here_\n  - _self_\n\nname: cpu\nthreads: 3\n"
    (tmp_path / "device" / "mine.yaml").write_text(text)
    found = settings(composed(["device=mine"], str(tmp_path)))["device"]
    assert found == {**config("device=cpu")["device"], "threads": 3}


def test_no_option_has_become_another_experiment():
    """The names of runs' folders and `resume` depend on values and order of keys: a change here orphans runs.

    A new key belongs into `identity.ADDED`. Where a default is meant to change, write the new start of the fingerprint
    into the file.
    """
    known = json.loads(Path(__file__).with_name("fingerprints.json").read_text())
    assert {key: fingerprint(config(*key.split()))[:8] for key in known} == known
    chosen = [key.split()[0] for key in known]
    assert chosen == [choice(*path.with_suffix("").parts) for path in FILES if path.parts[0] in (*GROUPS, "experiment")]


@pytest.mark.parametrize("option", options("model"))
def test_every_model_is_built(option):
    if option == "timm":
        pytest.importorskip("timm")
    composed_model = config(f"model={option}", *([FITTING[option]] if option in FITTING else []))["model"]
    build(composed_model, 3, 32, 10)  # tries it on two images; tests/models/test_build.py has more sizes


@pytest.mark.parametrize("option", options("optimizer"))
def test_every_optimizer_makes_a_step(option):
    torch.manual_seed(0)
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = instantiate(config(f"optimizer={option}")["optimizer"])(model)
    model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("option", options("scheduler"))
def test_every_schedule_gives_factors(option):
    schedule = instantiate(config(f"scheduler={option}")["scheduler"])
    factors = [schedule(epoch + 0.5, 20, [1.0] * epoch) for epoch in range(20)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0.9
    assert (len(set(factors)) == 1) == (option == "constant")


@pytest.mark.parametrize("option", options("augment"))
@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_every_augmentation_takes_a_batch(dataset, option):
    recipe = recipe_of(config(f"dataset={dataset}", f"augment=[{option}]"), 10)
    assert len(recipe.augment) == (option != "none")
    channels = 1 if dataset == "digits" else 3
    images, labels = torch.randint(256, (6, channels, 16, 16), dtype=torch.uint8), torch.arange(6)
    for augment in recipe.augment:
        changed, targets = augment(images, labels)
        assert changed.shape == images.shape
        assert targets.shape in ((6,), (6, 10))


def test_augmentations_follow_one_another():
    names = ["cutout", "mixup", "flip_crop", "cutmix"]
    recipe = recipe_of(config(f"augment=[{','.join(names)}]"), 10)
    images, targets = torch.randint(256, (6, 1, 8, 8), dtype=torch.uint8), torch.arange(6)
    for augment in recipe.augment:
        images, targets = augment(images, targets)
    assert targets.shape == (6, 10)
    assert torch.allclose(targets.sum(1), torch.ones(6))


@pytest.mark.parametrize("option", options("logger"))
def test_a_logger_does_not_make_it_another_experiment(option):
    assert fingerprint(config(f"logger=[{option}]")) == fingerprint(config())


@pytest.mark.parametrize("option", options("compression"))
def test_every_compression_method_is_off_by_default_and_on_by_its_level(option):
    assert steps_on(config(choice("compression", option))) == []
    on = config(*turned_on(option))
    ((name, node),) = steps_on(on)
    kind = kind_of(locate(node["_target_"]))
    assert (name, kind in get_args(Kind)) == (option, True)
    assert [stage.method for stage in stages_of(on)] == ["train", *([option] if kind != "distillation_loss" else [])]
    assert len(distillation_losses_of(on)) == (kind == "distillation_loss")


@pytest.mark.parametrize("level", [f"{knob}={level}" for knob, levels in LEVELS.items() for level in levels])
def test_every_level_has_one_method_that_takes_it_by_default(level):
    assert len(steps_on(config(level))) == 1


def test_the_processor_is_always_there():
    before = torch.are_deterministic_algorithms_enabled()
    try:
        assert select_device(config("device=cpu")["device"]).torch_device.type == "cpu"
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_is_composed_and_changes_something(option):
    found = config_of(option, [], None)  # of a cross-validation its first fold
    assert found != config()
    written = yaml.safe_load((FOLDER / "experiment" / f"{option}.yaml").read_text())
    for key, value in written.items():
        if key not in ("defaults", "reported") and not isinstance(value, dict) and "$" not in str(value):
            assert found[key] == value
    recipe_of(found, 10)
    stages_of(found)
    build({**found["model"], "weights": None}, 3, 32, 10)
