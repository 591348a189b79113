"""Differences between the structure of a model and that of its newly built architecture, as data.

A stored model has the config of its architecture and the result of `changes`; `apply` gives a newly built model the
structure of the stored tensors. A file can only create modules of the types in `ALLOWED`, within the bounds there, and
of other types (those of a library) it can only resize, or wrap into a sequence, modules that the architecture has.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from effdl.config.annotations import conforms
from effdl.models.module_types import ALLOWED, ORIGINAL, SEQUENTIAL, Size, Sizes, construct, type_name
from effdl.utils.errors import UserError

_RESIZED = "Resized"  # the module that is there, with other numbers of inputs and outputs
_MISFITS = (LookupError, ValueError, TypeError, AttributeError, RuntimeError, AssertionError, ArithmeticError)
_NUMBERS = ("in_channels", "out_channels", "in_features", "out_features", "num_features", "groups")


def changes(model: nn.Module, reference: nn.Module) -> list[dict]:
    """The modules of a model that differ from those of a reference, in the order of ``named_modules``.

    Parametrized modules count as the materialized modules. Values and dtypes of tensors are not compared.

    Returns:
        A JSON-able ``{"name": ..., "type": ..., ARGUMENT: ...}`` for each, in the order in which `apply` takes them;
        children of a new module are not listed.

    Raises:
        RuntimeError: such a list cannot describe a difference; the message has the module's name.
    """
    return list(_changes("", model, reference))


def apply(reference: nn.Module, changes: list[dict]) -> nn.Module:
    """Give a reference the structure that `changes` describes, in place; new tensors have initial values, on the CPU.

    Returns the reference, or the module that replaces it as a whole. ``changes`` may come from an untrusted file.

    Raises:
        UserError: ``changes`` does not describe allowed modules, or describes far larger ones than the reference.
    """
    if not conforms(changes, list[dict]):
        raise UserError("model structure: not a list of modules")
    room = 2 * _elements(reference) + (1 << 20)  # compression makes models smaller
    for change in changes:
        name = change.get("name")
        description = {key: value for key, value in change.items() if key != "name"}
        try:
            present = reference.get_submodule(name)
            if description.get("type") == _RESIZED:
                _resize(present, **description)
                continue
            with torch.device("meta"):
                room -= _elements(construct(description, nn.Identity()))
            if room < 0:
                raise UserError(f"model structure: with {name} the model is far larger than the uncompressed one")
            module = construct(description, present).train(reference.training)
            if name == "":
                reference = module
            else:
                reference.set_submodule(name, module, strict=True)
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            RuntimeError,
            AssertionError,
            ArithmeticError,
        ) as error:
            raise UserError(f"model structure: {name}: {error}") from error
    return reference


def _changes(name: str, module: nn.Module, reference: nn.Module) -> Iterator[dict]:
    kind, children, before = type_name(module), _children(module), _children(reference)
    same_type = kind == type_name(reference)
    if same_type and (kind not in ALLOWED or kind == SEQUENTIAL) and list(children) == list(before):
        yield from _resizing(name, module, reference)
        for child in children:
            yield from _changes(f"{name}.{child}".lstrip("."), children[child], before[child])
    elif not same_type or _describe(name, module) != _describe(name, reference):
        if original := _original(module, reference):
            yield from _changes(name, original, reference)
        yield {"name": name, **_describe(name, module, original)}


def _resizing(name: str, module: nn.Module, reference: nn.Module) -> Iterator[dict]:
    """The change of a module's own tensors and numbers, if there is one."""
    mine, others = _own(module), _own(reference)
    different = {key: mine.get(key) for key in sorted({*mine, *others}) if mine.get(key) != others.get(key)}
    shapes = {key: list(value) for key, value in different.items() if isinstance(value, tuple) and key in others}
    sizes = {key: value for key, value in different.items() if key in _NUMBERS and key in others}
    if len(shapes) + len(sizes) < len(different) or any(len(shapes[key]) != len(others[key]) for key in shapes):
        raise RuntimeError(
            f"{name or 'the model'} ({type_name(module)}) was changed in a way that cannot be stored: {list(different)}"
        )
    if different:
        yield {"name": name, "type": _RESIZED, "shapes": shapes, "numbers": sizes}


def _resize(module: nn.Module, type: str, shapes: Any, numbers: Any) -> None:
    """Give a module smaller tensors, and the numbers of inputs and outputs that follow; in place.

    Raises:
        ValueError: the module has no such tensors or numbers, or is not larger.
    """
    tensors: dict[str, Tensor | None] = {**module._parameters, **module._buffers}
    if not conforms(shapes, dict[str, Sizes]) or not conforms(numbers, dict[str, Size]):
        raise ValueError("sizes that are none")
    if any(tensors.get(key) is None or tensors[key].ndim != len(shape) for key, shape in shapes.items()):
        raise ValueError("a size of a tensor that is not there")
    if any(key not in _NUMBERS or not isinstance(getattr(module, key, None), int) for key in numbers):
        raise ValueError("a number that is not there")
    if any(
        size > before for key, shape in shapes.items() for size, before in zip(shape, tensors[key].shape, strict=True)
    ):
        raise ValueError("a size that is larger than the architecture's")
    for key, shape in shapes.items():
        tensor = torch.zeros(shape, dtype=tensors[key].dtype)
        learned = key in module._parameters
        setattr(module, key, nn.Parameter(tensor, tensors[key].requires_grad) if learned else tensor)
    for key, number in numbers.items():
        setattr(module, key, number)


def _original(module: nn.Module, reference: nn.Module) -> nn.Module | None:
    """The module that a sequence wraps, if its type is that of the reference and cannot be described."""
    kind = type_name(reference)
    if kind in ALLOWED or type_name(module) != SEQUENTIAL:
        return None
    return next((part for part in module.modules() if type_name(part) == kind), None)


def _describe(name: str, module: nn.Module, original: nn.Module | None = None) -> dict:
    """Type and arguments of a module of an allowed type, or the original; for a sequence also those of its children."""
    if module is original:
        return {"type": ORIGINAL}
    kind = type_name(module)
    if kind not in ALLOWED:
        raise RuntimeError(f"{name or 'the model'} cannot be stored: its new structure holds a {kind}")
    if kind == SEQUENTIAL:
        children = _children(module).items()
        parts = [[child, _describe(f"{name}.{child}", part, original)] for child, part in children]
        return {"type": kind, "children": parts}
    values = {key: getattr(module, key) for key in ALLOWED[kind]}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {"type": kind, **values, **({"bias": module.bias is not None} if "bias" in values else {})}


def _elements(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _children(module: nn.Module) -> dict[str, nn.Module]:
    parts = {name: child for name, child in module._modules.items() if child is not None}
    if parametrize.is_parametrized(module):
        del parts["parametrizations"]
    return parts


def _own(module: nn.Module) -> dict[str, Any]:
    """Shapes of a module's own tensors, and its plain attributes."""
    names = [name for name, tensor in {**module._parameters, **module._buffers}.items() if tensor is not None]
    shapes = {name: tuple(getattr(module, name).shape) for name in (*names, *getattr(module, "parametrizations", ()))}
    values = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and not name.startswith("_") and name != "training"
    }
    return shapes | values
