"""Differences between the structure of a model and that of its newly built architecture, as data.

A stored model has the config of its architecture and the result of `changes`; `apply` gives a newly built model the
structure of the stored tensors. A file can only create modules of the types in `ALLOWED`, within the bounds there.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.utils import parametrize

from effdl.config.annotations import checker, conforms
from effdl.models.resnet import ZeroPadShortcut
from effdl.nn.layers import plain_type
from effdl.nn.quantizers import ActivationQuantizer
from effdl.utils.errors import UserError

_Size = Annotated[int, Field(ge=1, le=1 << 24)]
_Sizes = Annotated[list[_Size], Field(max_length=8)]
_Extent = Annotated[int, Field(ge=0, le=1024)]  # of a window, in pixels
_Bits = Annotated[int, Field(ge=1, le=32)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_SEQUENTIAL, _DEEPEST = "torch.nn.Sequential", 8  # largest depth of nested sequences in a file
_OWN = {
    kind.__name__: kind for kind in (ActivationQuantizer, ZeroPadShortcut)
}  # in files their names have no module path


def _extents(dimensions: int) -> Any:
    return Annotated[list[_Extent], Field(min_length=dimensions, max_length=dimensions)]


def _convolution(dimensions: int) -> dict[str, Any]:
    return {
        "in_channels": _Size,
        "out_channels": _Size,
        **dict.fromkeys(("kernel_size", "stride", "dilation"), _extents(dimensions)),
        "padding": _extents(dimensions) | Literal["same", "valid"],
        "groups": _Size,
        "bias": bool,
        "padding_mode": Literal["zeros", "reflect", "replicate", "circular"],
    }


def _pooling(dimensions: int, *others: str) -> dict[str, Any]:
    extents = dict.fromkeys(("kernel_size", "stride", "padding", *others), _Extent | _extents(dimensions))
    return {**extents, "ceil_mode": bool}


_NORM = {"num_features": _Size, "eps": _Number, "momentum": _Number | None, "affine": bool, "track_running_stats": bool}
# Types that can be rebuilt, with their constructor's arguments; all but `bias` are attributes of the same name.
ALLOWED: dict[str, dict[str, Any]] = {
    **{f"torch.nn.Conv{n}d": _convolution(n) for n in (1, 2, 3)},
    "torch.nn.Linear": {"in_features": _Size, "out_features": _Size, "bias": bool},
    **{f"torch.nn.BatchNorm{n}d": _NORM for n in (1, 2)},
    "torch.nn.LayerNorm": {"normalized_shape": _Sizes, "eps": _Number, "elementwise_affine": bool, "bias": bool},
    "torch.nn.GroupNorm": {"num_groups": _Size, "num_channels": _Size, "eps": _Number, "affine": bool},
    **{f"torch.nn.MaxPool{n}d": _pooling(n, "dilation") for n in (1, 2)},
    **{f"torch.nn.AvgPool{n}d": _pooling(n) | {"count_include_pad": bool} for n in (1, 2)},
    "torch.nn.AdaptiveAvgPool1d": {"output_size": _Extent | _extents(1)},
    "torch.nn.AdaptiveAvgPool2d": {"output_size": _Extent | _extents(2)},
    "torch.nn.Flatten": {"start_dim": int, "end_dim": int},
    "torch.nn.Dropout": {"p": Annotated[float, Field(ge=0, le=1)], "inplace": bool},
    "torch.nn.GELU": {"approximate": Literal["none", "tanh"]},
    "torch.nn.LeakyReLU": {"negative_slope": _Number, "inplace": bool},
    **{f"torch.nn.{name}": {"inplace": bool} for name in ("ReLU", "ReLU6", "SiLU", "Hardswish", "Hardsigmoid")},
    **{f"torch.nn.{name}": {} for name in ("Identity", "Sigmoid", "Tanh")},
    _SEQUENTIAL: {"children": list},
    "ActivationQuantizer": {"bits": _Bits, "signed": bool},
    "ZeroPadShortcut": {
        "inputs": _Size,
        "outputs": _Size,
        "stride": Annotated[int, Field(ge=1, le=1024)],
        "sources": list[int] | None,
    },
}


def changes(model: nn.Module, reference: nn.Module) -> list[dict]:
    """The modules of a model that differ from those of a reference, in the order of ``named_modules``.

    Parametrized modules count as the materialized modules. Values and dtypes of tensors are not compared.

    Returns:
        A JSON-able ``{"name": ..., "type": ..., ARGUMENT: ...}`` for each; children of a changed module are not listed.

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
        with torch.device("meta"):
            room -= _elements(_make(name, description))
        if room < 0:
            raise UserError(f"model structure: with {name} the model is far larger than the uncompressed one")
        module = _make(name, description).train(reference.training)
        if name == "":
            reference = module
            continue
        try:
            reference.set_submodule(name, module, strict=True)
        except (AttributeError, ValueError, TypeError) as error:
            raise UserError(f"model structure: {name!r} is no module of the model") from error
    return reference


def _changes(name: str, module: nn.Module, reference: nn.Module) -> Iterator[dict]:
    kind, children, before = _type_name(module), _children(module), _children(reference)
    same_type = kind == _type_name(reference)
    if same_type and (kind not in ALLOWED or kind == _SEQUENTIAL) and list(children) == list(before):
        mine, others = _own(module), _own(reference)
        if mine != others:
            different = sorted(key for key in {*mine, *others} if mine.get(key) != others.get(key))
            raise RuntimeError(
                f"{name or 'the model'} ({kind}) was changed in a way that cannot be stored: {different}"
            )
        for child in children:
            yield from _changes(f"{name}.{child}".lstrip("."), children[child], before[child])
    elif not same_type or _describe(name, module) != _describe(name, reference):
        yield {"name": name, **_describe(name, module)}


def _describe(name: str, module: nn.Module) -> dict:
    """Type and arguments of a module of an allowed type; for a sequence also those of its children."""
    kind = _type_name(module)
    if kind not in ALLOWED:
        raise RuntimeError(f"{name or 'the model'} cannot be stored: its new structure holds a {kind}")
    if kind == _SEQUENTIAL:
        children = _children(module).items()
        return {"type": kind, "children": [[child, _describe(f"{name}.{child}", part)] for child, part in children]}
    values = {key: getattr(module, key) for key in ALLOWED[kind]}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {"type": kind, **values, **({"bias": module.bias is not None} if "bias" in values else {})}


def _make(name: Any, description: Any) -> nn.Module:
    """Build the module of a description, which may come from an untrusted file."""
    try:
        return _constructed(description, 0)
    except (LookupError, ValueError, TypeError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise UserError(f"model structure: {name}: {error}") from error


def _constructed(description: Any, depth: int) -> nn.Module:
    kind = description.get("type") if isinstance(description, dict) else None
    if isinstance(kind, str) and kind.startswith("effdl."):  # of an earlier layout
        kind = kind.rpartition(".")[2]
    if kind not in list(ALLOWED):
        raise ValueError("not a module that a stored model may hold")
    values = {key: value for key, value in description.items() if key != "type"}
    if depth > _DEEPEST or values.keys() != ALLOWED[kind].keys():
        raise ValueError(f"{kind} takes {', '.join(ALLOWED[kind])}")
    for key in ALLOWED[kind]:
        if not _checker(kind, key)(values[key]):
            raise ValueError(f"{kind}: a forbidden value of {key}")
    if kind == _SEQUENTIAL:
        made = nn.Sequential()
        for child, part in values["children"]:
            made.add_module(child, _constructed(part, depth + 1))
        return made
    made = _OWN.get(kind) or getattr(nn, kind.rpartition(".")[2])
    return made(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


@cache
def _checker(kind: str, key: str) -> Callable[[Any], bool]:
    return checker(ALLOWED[kind][key])


def _elements(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _type_name(module: nn.Module) -> str:
    """The public name of a module's class."""
    kind = plain_type(module)
    if _OWN.get(kind.__name__) is kind:
        return kind.__name__
    public = getattr(nn, kind.__name__, None) is kind
    return f"torch.nn.{kind.__name__}" if public else f"{kind.__module__}.{kind.__qualname__}"


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
