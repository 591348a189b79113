"""The teachers of a run, as they know its images and classes."""

from pathlib import Path

import torch
from torch import nn

from effdl.compression.method import kind_of
from effdl.compression.pipeline import steps_on
from effdl.config.instantiate import locate
from effdl.config.schema import TEACHERS
from effdl.data.build import Data
from effdl.data.inputs import Inputs
from effdl.models.adapt import adapt
from effdl.models.build import build, dry_run
from effdl.models.stored import load_model, read_inputs
from effdl.models.torch_file import TORCH_SUFFIXES
from effdl.runs.initial import UNKNOWN, load_named
from effdl.utils.errors import UserError
from effdl.utils.seeding import derive_seed


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
        teacher, inputs, said = _of_config(config, data) if own else _of_file(level)
        notes += [f"{name}: {note}" for note in said]
        if inputs and (done := _fitted(teacher, inputs, data.inputs, name)):
            notes.append(f"{name}: {'; '.join(done)}")
        dry_run(teacher, name, data.channels, data.image_size, len(data.classes))
        found[level] = teacher
    return found, notes


def _of_config(config: dict, data: Data) -> tuple[nn.Module, Inputs | None, list[str]]:
    """The teacher of a config, what its weights were trained on, and what is said of these."""
    node = config["teacher"]
    torch.manual_seed(derive_seed(config["seed"], "teacher"))
    model = build(node, data.channels, data.image_size, len(data.classes))
    loaded, notes = load_named(model, node, data.inputs, "teacher")
    if loaded is None:
        return model, None, notes
    name = f"teacher.weights={node['weights']}"
    if loaded.inputs:
        loaded.inputs.require_classes(data.classes, f"{name}: the teacher")
    if loaded.anew:
        raise UserError(f"{name}: the teacher is for other classes: {', '.join(loaded.anew)} would be untrained")
    told = loaded.foreign or not loaded.inputs
    return model, loaded.inputs, notes if told else []


def _of_file(level: str) -> tuple[nn.Module, Inputs | None, list[str]]:
    """The teacher in a run folder or file, what it was trained on, and what is said of it."""
    if level.endswith(TORCH_SUFFIXES) and Path(level).is_file():
        how = f"distill=teacher +model@teacher=NAME teacher.weights={level}"
        raise UserError(f"distill={level}: such a file has no architecture, only weights (allowed: {how})")
    try:
        inputs = read_inputs(level)
        return load_model(level).float(), inputs, [] if inputs else [UNKNOWN]
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
