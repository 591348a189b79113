"""From a checked config to the parts of a run: everything that can be wrong with them is found out here."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from effdl.bench import Bench
from effdl.config import instantiate
from effdl.data.load import Data, load
from effdl.errors import UserError
from effdl.models.build import build
from effdl.recipe import Place, Recipe
from effdl.report.outcome import name_of
from effdl.seeding import derive_seed, make_deterministic

Step = Callable[[nn.Module, Bench], nn.Module]
DEFAULT_THREADS = torch.get_num_threads()


@dataclass
class Prepared:
    """The parts of a run that are ready before its folder exists."""

    config: dict
    place: Place
    data: Data
    model: nn.Module


def prepare(config: dict) -> Prepared:
    """Choose the device, load the data and build the model of a checked config; nothing is written.

    Raises:
        UserError: a device, data set, model or file that is not there or does not fit the others.
    """
    place = choose_place(config["device"])
    data = load(config["dataset"])
    torch.manual_seed(derive_seed(config["seed"], "model"))
    model = build(config["model"], data.channels, data.image_size, len(data.classes))
    return Prepared(config, place, data, model)


def with_classes(augment: Callable, classes: int) -> Callable:
    """Bind the number of classes to an augmentation that makes class probabilities of labels."""
    return partial(augment, classes=classes) if "classes" in inspect.signature(augment).parameters else augment


def choose_place(device: dict) -> Place:
    """The device of a config, with threads and determinism set for this process.

    Raises:
        UserError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = device["name"] if device["name"] != "auto" else next(name for name, found in there.items() if found)
    if not there[name]:
        raise UserError(
            f"device={name}: there is none here (found: {', '.join(n for n, found in there.items() if found)})"
        )
    torch.set_num_threads(device["threads"] or DEFAULT_THREADS)  # an earlier run of a sweep may have set another
    make_deterministic(device["deterministic"])
    # On CPUs no model here trains slower so, most train faster: see scripts/benchmark_layout.py.
    channels_last = name != "mps" if device["channels_last"] is None else device["channels_last"]
    return Place(torch.device(name), device["precision"], channels_last, device["compile"])


def recipe_of(config: dict, classes: int) -> Recipe:
    """The recipe that a config describes."""
    return Recipe(
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        optimizer=instantiate(config["optimizer"]),
        schedule=instantiate(config["scheduler"]),
        augment=tuple(with_classes(instantiate(node), classes) for node in config["augment"].values()),
        label_smoothing=config["label_smoothing"],
        clip_norm=config["clip_norm"],
        ema=config["ema"],
        early_stop=config["early_stop"],
        eval_batch_size=config["eval_batch_size"],
    )


def steps_of(config: dict) -> list[tuple[str, str, Step]]:
    """Stage, method and function of every step that is on, the first training included; stages have unique names."""
    steps: list[tuple[str, str, Step]] = [
        ("dense", "train", lambda model, bench: bench.fit(model, epochs=bench.recipe.epochs))
    ]
    for name, node in config["compression"].items():
        if node.get("level"):
            stage = node.get("stage", name)
            before = sum(earlier.partition("-")[0] == stage for earlier, _, _ in steps)
            steps.append((f"{stage}-{before + 1}" if before else stage, name, instantiate(node)))
    return steps


def on_device(data: Data, device: torch.device) -> Data:
    """The data with the images that are held in memory on the device."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return replace(data, **{name: split and split.to(device) for name, split in splits.items()})


def description(prepared: Prepared, stage: str) -> dict:
    """What a stored model says of itself: the stage it comes from, and enough to build its architecture again."""
    return {
        "stage": stage,
        "config": {key: value for key, value in prepared.config["model"].items() if key != "weights"},
        "channels": prepared.data.channels,
        "image_size": prepared.data.image_size,
        "classes": len(prepared.data.classes),
    }


def describe(prepared: Prepared) -> str:
    """What is about to run, in one line."""
    data, config = prepared.data, prepared.config
    images = f"{len(data.train):,} training, {len(data.val or []):,} validation and {len(data.test):,} test images"
    parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
    shape = f"{data.channels}x{data.image_size}x{data.image_size}"
    return (
        f"{name_of(config['model'])} ({parameters:,} parameters) on {name_of(config['dataset'])} ({images}, {shape}), "
        f"{prepared.place.device}, {torch.get_num_threads()} threads"
    )
