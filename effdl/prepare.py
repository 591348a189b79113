"""From a checked config to the parts of a run: everything that can be wrong with them is found out here."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from effdl.compression.order import check_fits, check_order, kind_of
from effdl.config import instantiate, locate
from effdl.data.load import Data, load
from effdl.data_parallel import check_shares
from effdl.errors import UserError
from effdl.evaluate import load_model, read_description
from effdl.models.build import build, dry_run
from effdl.models.structure import changes
from effdl.place import Place, choose_place
from effdl.recipe import Recipe
from effdl.report.outcome import name_of
from effdl.seeding import derive_seed
from effdl.steps import check_during, steps_on


@dataclass
class Prepared:
    """The parts of a run that are ready before its folder exists."""

    config: dict
    place: Place
    data: Data
    model: nn.Module
    teachers: dict[str, nn.Module] = field(default_factory=dict)
    parameters: int = field(init=False)  # of the model before any step

    def __post_init__(self) -> None:
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def fresh_model(self) -> nn.Module:
        """An untrained model of the config, drawn from the global random numbers."""
        return untrained(self.config["model"], self.data)

    def description(self, stage: str, model: nn.Module) -> dict:
        """What a stored model says of itself: its stage, and enough to build its architecture again."""
        config = self.config["teacher" if stage == "teacher" else "model"]
        return {
            "stage": stage,
            "config": {key: value for key, value in config.items() if key != "weights"},
            "channels": self.data.channels,
            "image_size": self.data.image_size,
            "classes": len(self.data.classes),
            "structure": changes(model, untrained(config, self.data)),
        }


def prepare(config: dict) -> Prepared:
    """Choose the device, load the data and build the model of a checked config; nothing is written.

    Raises:
        UserError: a device, data set, model or file that is not there or does not fit the others.
    """
    place = choose_place(config["device"])
    data = load(config["dataset"])
    steps = [(name, locate(node["_target_"]), node) for name, node in steps_on(config)]
    check_order([(name, kind_of(function)) for name, function, _ in steps])
    check_during(config)
    check_shares(config["batch_size"], len(data.train))
    torch.manual_seed(derive_seed(config["seed"], "model"))
    model = build(config["model"], data.channels, data.image_size, len(data.classes))
    for _, function, node in steps:
        check_fits(function, model, node)
        if kind_of(function) == "structure":
            break  # what follows meets other layers
    return Prepared(config, place, data, model, teachers_of(config, data))


def untrained(model: dict, data: Data) -> nn.Module:
    """A model of a config's node with new weights."""
    return build({**model, "weights": None}, data.channels, data.image_size, len(data.classes))


def teachers_of(config: dict, data: Data) -> dict[str, nn.Module]:
    """The teachers that distillation methods name as a run folder or as "teacher", by that name.

    Raises:
        UserError: no such run, or it is for other images or classes.
    """
    levels = {node["level"] for _, node in steps_on(config) if node.get("stage") == "distill"}
    found = {}
    for level in sorted(levels - {"self", "peer", "born_again"}):
        if level == "teacher":
            torch.manual_seed(derive_seed(config["seed"], "teacher"))
            found[level] = build(config["teacher"], data.channels, data.image_size, len(data.classes))
            continue
        try:
            teacher, description = load_model(level), read_description(level)
        except UserError as error:
            raise UserError(
                f"distill={level}: {error} (allowed: a run folder, self, peer, born_again, teacher)"
            ) from error
        for key, own in (("classes", len(data.classes)), ("channels", data.channels)):
            if description[key] != own:
                raise UserError(f"distill={level}: the teacher is for {description[key]} {key}, {data.name} has {own}")
        dry_run(teacher, f"distill={level}", data.channels, data.image_size, len(data.classes))
        found[level] = teacher
    return found


def with_classes(augment: Callable, classes: int) -> Callable:
    """Bind the number of classes to an augmentation that makes class probabilities of labels."""
    return partial(augment, classes=classes) if "classes" in inspect.signature(augment).parameters else augment


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
        keep_epoch=rewind_epoch(config),
        eval_batch_size=config["eval_batch_size"],
    )


def rewind_epoch(config: dict) -> int | None:
    """The epoch of the first training to whose weights a step goes back, if one does.

    Raises:
        UserError: two steps go back to different ones, or the training is not that long.
    """
    epochs = {node["rewind_epoch"] for _, node in steps_on(config) if node.get("retrain") == "rewind_weights"}
    if len(epochs) > 1:
        raise UserError(f"rewind_epoch: all steps must go back to the same epoch, not to {sorted(epochs)}")
    if epochs and max(epochs) > config["epochs"]:
        raise UserError(f"rewind_epoch={max(epochs)}: allowed is a whole number <= {config['epochs']} (epochs)")
    return next(iter(epochs), None)


def on_device(data: Data, device: torch.device) -> Data:
    """The data with the images that are held in memory on the device."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return replace(data, **{name: split and split.to(device) for name, split in splits.items()})


def describe(prepared: Prepared) -> str:
    """What is about to run, in one line."""
    data, config = prepared.data, prepared.config
    images = f"{len(data.train):,} training, {len(data.val or []):,} validation and {len(data.test):,} test images"
    shape = f"{data.channels}x{data.image_size}x{data.image_size}"
    return (
        f"{name_of(config['model'])} ({prepared.parameters:,} parameters) "
        f"on {name_of(config['dataset'])} ({images}, {shape}), "
        f"{prepared.place.device}, {torch.get_num_threads()} threads"
    )
