"""Which layer of the student learns from which layer of the teacher."""

import copy
from fnmatch import fnmatchcase
from itertools import groupby
from math import log, prod

import torch
from torch import Tensor, nn

from effdl.compression.distill.features import as_map
from effdl.models.surgery import last_layer
from effdl.nn.hooks import forward_hooks
from effdl.utils.errors import UserError

Maps = dict[str, torch.Size]  # (C, H, W) by name of the layer


def pair_layers(
    student: Maps, teacher: Maps, student_layers: list[str], teacher_layers: list[str] | None, key: str
) -> list[tuple[str, str]]:
    """Pairs (student layer, teacher layer).

    Args:
        student, teacher: what their layers give, see `output_maps`.
        student_layers: names, or patterns with * and ?.
        teacher_layers: the same, in the same number; None: for each the stage end whose map is nearest in size, and of
            equal sizes the one at about the same depth.
        key: path of the config's node, for messages.

    Raises:
        UserError: a pattern that matches no layer, or two lists of different lengths.
    """
    left = matching(student_layers, student, f"{key}.student_layers", "student")
    if teacher_layers is None:
        return [(name, nearest(name, student, teacher)) for name in left]
    right = matching(teacher_layers, teacher, f"{key}.teacher_layers", "teacher")
    if len(left) != len(right):
        raise UserError(
            f"{key}: {len(left)} layers of the student ({', '.join(left)}) cannot learn from {len(right)} of the"
            f" teacher ({', '.join(right)}): student_layers and teacher_layers must name equally many"
        )
    return list(zip(left, right, strict=True))


def matching(patterns: list[str], maps: Maps, key: str, whose: str) -> list[str]:
    """The layers that match any of the patterns, in order of execution; UserError for a pattern that matches none."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in maps):
            raise UserError(f"{key}: no layer of the {whose} matches {pattern!r}; its layers: {', '.join(maps)}")
    return [name for name in maps if any(fnmatchcase(name, pattern) for pattern in patterns)]


def stage_ends(maps: Maps) -> list[str]:
    """The last layer of every stage: of every size of map, or in a network without maps of every width of vector.

    In a residual network these are the outputs of its groups of blocks. Maps of one pixel count as vectors.
    """
    stages = {name: shape[1:] for name, shape in maps.items() if prod(shape[1:]) > 1} or maps
    return [[*group][-1] for _, group in groupby(stages, stages.get)]


def nearest(name: str, student: Maps, teacher: Maps) -> str:
    """The stage end of the teacher whose map is nearest in size to a layer of the student, then nearest in depth."""
    ends, depth = stage_ends(teacher), position(name, student)
    pixels = prod(student[name][1:])
    return min(ends, key=lambda end: (abs(log(prod(teacher[end][1:]) / pixels)), abs(position(end, teacher) - depth)))


def position(name: str, maps: Maps) -> float:
    """Depth of a layer, from 0 to 1 (the last before the logits)."""
    return ([*maps].index(name) + 1) / len(maps)


@torch.no_grad()
def output_maps(model: nn.Module, input_shape: tuple[int, int, int], device: torch.device) -> Maps:
    """Sizes (C, H, W) of what the layers of a model give for one image, in order of execution, before its last layer.

    Layers with children come after them. What comes before the first layer with weights is no feature.
    """
    maps: Maps = {}
    model = copy.deepcopy(model).eval()  # what the first forward pass of a model sets up stays out of the original
    names = {module: name for name, module in model.named_modules() if name and "parametrizations" not in name}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        learned = maps or any(True for _ in module.parameters())
        if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and learned:
            maps.pop(names[module], None)  # a module that is called twice counts where it is called last
            maps[names[module]] = as_map(output).shape[1:]

    with forward_hooks(names, note):
        model(torch.zeros(2, *input_shape, device=device))
    layers, (last, _) = list(maps), last_layer(model)
    return {name: maps[name] for name in layers[: layers.index(last)]}
