"""The pairs of a layer of the student and the layer of the teacher that it learns from."""

import copy
from fnmatch import fnmatchcase
from itertools import groupby, takewhile
from math import log, prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from effdl.compression.distill.features import Features, Teacher, as_map
from effdl.models.surgery import last_layer
from effdl.nn.hooks import forward_hooks
from effdl.utils.errors import UserError

_IMAGES = 3
_ON_LAST_DIMENSION = (nn.Linear, nn.LayerNorm)
_Maps = dict[str, torch.Size]  # shape (C, H, W) of the output, by the name of the layer


class Pair(NamedTuple):
    """A layer of the student and the layer of the teacher that it learns from, with the shapes (C, H, W)."""

    student: str
    student_shape: torch.Size
    teacher: str
    teacher_shape: torch.Size

    def __str__(self) -> str:
        own, wanted = ("x".join(map(str, shape)) for shape in (self.student_shape, self.teacher_shape))
        return f"{self.student} ({own}) from {self.teacher} ({wanted})"


def features_of(pairs: list[Pair], student: nn.Module, teacher: nn.Module) -> tuple[Features, Teacher]:
    """What the layers of student and teacher give, as maps (n, C, H, W)."""
    return (
        Features(student, [pair.student for pair in pairs], [pair.student_shape[0] for pair in pairs]),
        Teacher(teacher, [pair.teacher for pair in pairs], [pair.teacher_shape[0] for pair in pairs]),
    )


def pair_layers(
    student: _Maps, teacher: _Maps, student_layers: list[str], teacher_layers: list[str] | None, key: str
) -> list[Pair]:
    """The pairs of a student layer and a teacher layer.

    Args:
        student, teacher: the output shapes of their layers, see `output_maps`.
        student_layers: names of layers, or patterns with * and ?.
        teacher_layers: names or patterns of as many layers; None: for each student layer the end of the stage whose map
            is nearest in size, and among equal sizes the one at the most similar depth.
        key: path of the method in the config, for messages.

    Raises:
        UserError: there is no layer, a pattern matches none, or the lists have different lengths.
    """
    for whose, maps in (("student", student), ("teacher", teacher)):
        if not maps:
            raise UserError(f"{key}: the {whose} has no layer before its last one")
    left = _matching(student_layers, student, f"{key}.student_layers", "student")
    if not left:
        raise UserError(f"{key}.student_layers=[]: allowed is at least one layer, or null")
    if teacher_layers is None:
        right = [_nearest(name, student, teacher) for name in left]
    else:
        right = _matching(teacher_layers, teacher, f"{key}.teacher_layers", "teacher")
    if len(left) != len(right):
        raise UserError(
            f"{key}: {len(left)} layers of the student ({', '.join(left)}) cannot learn from {len(right)} of the"
            f" teacher ({', '.join(right)}): student_layers and teacher_layers must name equally many"
        )
    return [Pair(own, student[own], wanted, teacher[wanted]) for own, wanted in zip(left, right, strict=True)]


def _matching(patterns: list[str], maps: _Maps, key: str, whose: str) -> list[str]:
    """The layers that match any of the patterns, in order of execution; UserError if a pattern matches none."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in maps):
            raise UserError(f"{key}: no layer of the {whose} matches {pattern!r}; its layers: {', '.join(maps)}")
    return [name for name in maps if any(fnmatchcase(name, pattern) for pattern in patterns)]


def stage_ends(maps: _Maps) -> list[str]:
    """The last layer of every stage, which is a run of layers with maps of the same size.

    In a residual network these are the outputs of its groups of blocks. Maps of one pixel count as vectors; a network
    without larger maps has a stage for every width of its vectors.
    """
    stages = {name: shape[1:] for name, shape in maps.items() if prod(shape[1:]) > 1} or maps
    return [[*group][-1] for _, group in groupby(stages, stages.get)]


def _nearest(name: str, student: _Maps, teacher: _Maps) -> str:
    """The end of the teacher's stage whose map is nearest in size to that of a student layer, then nearest in depth."""
    ends, depth = stage_ends(teacher), _position(name, student)
    pixels = prod(student[name][1:])
    return min(ends, key=lambda end: (abs(log(prod(teacher[end][1:]) / pixels)), abs(_position(end, teacher) - depth)))


def _position(name: str, maps: _Maps) -> float:
    """The depth of a layer, from 0 to 1 (the last layer before the logits)."""
    return ([*maps].index(name) + 1) / len(maps)


@torch.no_grad()
def output_maps(model: nn.Module, input_shape: tuple[int, int, int]) -> _Maps:
    """Shapes (C, H, W) of the outputs of a model's layers for one image, up to its last layer, in order of execution.

    A layer with children comes after them. Left out are layers before the first one with parameters, outputs that are
    not one for each image (such as those of windows), and maps that can be read in two ways (see `_map_shape`).
    """
    outputs: dict[str, tuple[nn.Module, torch.Size]] = {}
    model = copy.deepcopy(model).eval()  # what the first forward pass of a model sets up stays out of the original
    names = {module: name for name, module in model.named_modules() if name and "parametrizations" not in name}

    def note(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        learned = outputs or any(True for _ in module.parameters())
        if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and len(output) == _IMAGES and learned:
            outputs.pop(names[module], None)  # a module that is called twice counts where it is called last
            outputs[names[module]] = module, output.shape

    with forward_hooks(names, note):
        model(torch.zeros(_IMAGES, *input_shape, device=next(model.parameters()).device))
    last, _ = last_layer(model)
    outputs = dict(takewhile(lambda named: named[0] != last, outputs.items()))
    by_rows = {shape for module, shape in outputs.values() if type(module) in _ON_LAST_DIMENSION}
    maps = {name: _map_shape(shape, shape in by_rows) for name, (_, shape) in outputs.items()}
    return {name: shape for name, shape in maps.items() if shape}


def _map_shape(shape: torch.Size, by_rows: bool) -> torch.Size | None:
    """The shape (C, H, W) of an output, or None if it can be read in two ways.

    Images are square and so are their maps: which two of the last three dimensions are equal tells a map (n, C, H, W)
    from a map (n, H, W, C). Where all three are equal it is (n, C, H, W), unless layers on the last dimension give
    outputs of this shape, too.
    """
    if len(shape) == 4 and shape[1] == shape[2]:
        if shape[2] != shape[3]:
            return torch.Size([shape[3], *shape[1:3]])
        if by_rows and shape[1] > 1:
            return None
    return as_map(torch.empty(shape, device="meta")).shape[1:]
