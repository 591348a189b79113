"""The types of modules that a stored file can describe, with the arguments of their constructors and their bounds."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from effdl.config.annotations import checker
from effdl.models.resnet import ZeroPadShortcut
from effdl.nn.layers import plain_type
from effdl.nn.quantizers import ActivationQuantizer, ActivationSign
from effdl.nn.token_norm import TokenNorm

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Sizes = Annotated[list[Size], Field(max_length=8)]
_Extent = Annotated[int, Field(ge=0, le=1024)]  # of a window, in pixels
_Bits = Annotated[int, Field(ge=1, le=32)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
SEQUENTIAL, _DEEPEST = "torch.nn.Sequential", 8  # largest depth of nested sequences in a file
ORIGINAL = "Original"  # the module that the architecture itself has in this place
# In files their names have no module path.
_OWN = {kind.__name__: kind for kind in (ActivationQuantizer, ActivationSign, TokenNorm, ZeroPadShortcut)}


def _extents(dimensions: int) -> Any:
    return Annotated[list[_Extent], Field(min_length=dimensions, max_length=dimensions)]


def _convolution(dimensions: int) -> dict[str, Any]:
    return {
        "in_channels": Size,
        "out_channels": Size,
        **dict.fromkeys(("kernel_size", "stride", "dilation"), _extents(dimensions)),
        "padding": _extents(dimensions) | Literal["same", "valid"],
        "groups": Size,
        "bias": bool,
        "padding_mode": Literal["zeros", "reflect", "replicate", "circular"],
    }


def _pooling(dimensions: int, *others: str) -> dict[str, Any]:
    extents = dict.fromkeys(("kernel_size", "stride", "padding", *others), _Extent | _extents(dimensions))
    return {**extents, "ceil_mode": bool}


_NORM = {"num_features": Size, "eps": _Number, "momentum": _Number | None, "affine": bool, "track_running_stats": bool}
# Types that can be rebuilt, with their constructor's arguments; all but `bias` are attributes of the same name.
ALLOWED: dict[str, dict[str, Any]] = {
    **{f"torch.nn.Conv{n}d": _convolution(n) for n in (1, 2, 3)},
    "torch.nn.Linear": {"in_features": Size, "out_features": Size, "bias": bool},
    **{f"torch.nn.BatchNorm{n}d": _NORM for n in (1, 2, 3)},
    "torch.nn.LayerNorm": {"normalized_shape": Sizes, "eps": _Number, "elementwise_affine": bool, "bias": bool},
    "torch.nn.GroupNorm": {"num_groups": Size, "num_channels": Size, "eps": _Number, "affine": bool},
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
    SEQUENTIAL: {"children": list},
    "ActivationQuantizer": {"bits": _Bits, "signed": bool},
    "ActivationSign": {},
    "TokenNorm": {"num_features": Size},
    "ZeroPadShortcut": {
        "inputs": Size,
        "outputs": Size,
        "stride": Annotated[int, Field(ge=1, le=1024)],
        "sources": list[int] | None,
    },
}


def construct(description: Any, original: nn.Module | None = None, depth: int = 0) -> nn.Module:
    """The module of a description, which may come from an untrusted file.

    Args:
        original: what ``{"type": "Original"}`` stands for.

    Raises:
        ValueError, or what the module's constructor raises: the description is not allowed.
    """
    kind = description.get("type") if isinstance(description, dict) else None
    if kind == ORIGINAL and original is not None and len(description) == 1:
        return original
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
    if kind == SEQUENTIAL:
        made = nn.Sequential()
        for child, part in values["children"]:
            made.add_module(child, construct(part, original, depth + 1))
        return made
    made = _OWN.get(kind) or getattr(nn, kind.rpartition(".")[2])
    return made(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


@cache
def _checker(kind: str, key: str) -> Callable[[Any], bool]:
    return checker(ALLOWED[kind][key])


def type_name(module: nn.Module) -> str:
    """The public name of a module's class."""
    kind = plain_type(module)
    if _OWN.get(kind.__name__) is kind:
        return kind.__name__
    public = getattr(nn, kind.__name__, None) is kind
    return f"torch.nn.{kind.__name__}" if public else f"{kind.__module__}.{kind.__qualname__}"
