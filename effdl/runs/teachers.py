"""The models that a run begins with, as they know images and classes: its own, from other weights, and its teachers."""

import torch
from torch import nn

from effdl.compression.method import kind_of
from effdl.compression.pipeline import steps_on
from effdl.config.instantiate import locate
from effdl.config.schema import TEACHERS
from effdl.data.build import Data
from effdl.data.inputs import Inputs
from effdl.models.adapt import adapt
from effdl.models.build import build, dry_run, trained_on
from effdl.models.stored import load_model, read_inputs
from effdl.models.weights import load_weights, pretrained
from effdl.utils.errors import UserError
from effdl.utils.seeding import derive_seed

_UNKNOWN = "it does not say its classes and normalization: those of the data set are used"


def initialized(node: dict, data: Data) -> tuple[nn.Module, Data, list[str]]:
    """The model of a run, the data as it knows them, and what its weights came from, in words.

    Weights of another run keep the normalization that they were trained with, and their order of classes. Those of
    other classes lose their last layer.

    Raises:
        UserError: the model does not fit the data, or the weights do not fit the model.
    """
    model = build(node, data.channels, data.image_size, len(data.classes))
    if (source := node.get("weights")) is None:
        return model, data, []
    loaded = _loaded(model, node, data, "model.weights")
    notes = [str(loaded)] if loaded else []
    if loaded is None or (inputs := loaded.inputs) is None:
        return model, data, [f"model.weights={source}: {'; '.join([*notes, _UNKNOWN])}"]
    if inputs.image_size != data.image_size:
        notes.append(f"trained on images of {inputs.image_size} pixels, here {data.image_size}")
    if (inputs.mean, inputs.std) != (data.mean, data.std):
        notes.append("images normalized by their mean and deviation")
        data = data.normalized_for(inputs)
    if not loaded.anew and inputs.classes != data.classes:
        inputs.require_classes(data.classes, f"model.weights={source}")
        notes.append("classes in their order")
        data = data.numbered_for(inputs)
    return model, data, [f"model.weights={source}: {'; '.join(notes)}"]


def teachers_of(config: dict, data: Data) -> tuple[dict[str, nn.Module], list[str]]:
    """The teachers that distillation methods name as a run folder or as "teacher", by that name, and notes on them.

    They take the run's images and answer in its order of classes, whatever they were trained on.

    Raises:
        UserError: no such run, or it is for other channels or classes.
    """
    levels = {node["level"] for _, node in steps_on(config) if _has_teacher(node)}
    found, notes = {}, []
    for level in sorted(levels - {*TEACHERS[:-1]}):
        own = level == "teacher"
        name = f"teacher.weights={config['teacher']['weights']}" if own else f"distill={level}"
        teacher, inputs, trained = _of_config(config, name, data) if own else _of_file(level)
        if inputs:
            done = _fitted(teacher, inputs, data.inputs, name)
            notes += [f"{name}: {'; '.join(done)}"] if done else []
        elif trained:
            notes.append(f"{name}: {_UNKNOWN}")
        dry_run(teacher, name, data.channels, data.image_size, len(data.classes))
        found[level] = teacher
    return found, notes


def _of_config(config: dict, name: str, data: Data) -> tuple[nn.Module, Inputs | None, bool]:
    """The teacher of a config, what its weights were trained on, and whether they come from a file."""
    node = config["teacher"]
    torch.manual_seed(derive_seed(config["seed"], "teacher"))
    model = build(node, data.channels, data.image_size, len(data.classes))
    if node.get("weights") is None:
        return model, None, False
    if (loaded := _loaded(model, node, data, "teacher.weights")) is None:
        return model, None, True
    if loaded.inputs:
        loaded.inputs.require_classes(data.classes, f"{name}: the teacher")
    if loaded.anew:
        raise UserError(f"{name}: the teacher is for other classes: {', '.join(loaded.anew)} would be untrained")
    return model, loaded.inputs, True


def _loaded(model: nn.Module, node: dict, data: Data, key: str):
    """What a model has of the weights that its config names; None if that is not known of pretrained ones."""
    if node["weights"] != "pretrained":
        return load_weights(model, node["weights"], data.classes, key)
    known = trained_on(node)
    return known and pretrained(model, known, data.inputs)


def _of_file(level: str) -> tuple[nn.Module, Inputs | None, bool]:
    """The teacher in a run folder or file, and what it was trained on."""
    try:
        return load_model(level).float(), read_inputs(level), True
    except UserError as error:
        raise UserError(f"distill={level}: {error} (allowed: a run folder, self, peer, born_again, teacher)") from error


def _fitted(teacher: nn.Module, inputs: Inputs, given: Inputs, name: str) -> list[str]:
    """Let a teacher take the run's images; returns what had to be done, in words."""
    inputs.require_classes(given.classes, f"{name}: the teacher")
    if inputs.channels != given.channels:
        raise UserError(f"{name}: the teacher is for {inputs.channels} channels, here are {given.channels}")
    return adapt(teacher, inputs, given)


def _has_teacher(node: dict) -> bool:
    """Whether the level of a step names a teacher."""
    own = node.get("stage") == "distill" and isinstance(node["level"], str)
    return own or kind_of(locate(node["_target_"])) == "distillation_loss"
