"""Which compression steps may follow which: impossible chains are refused before anything is trained."""

import inspect
from collections.abc import Callable
from typing import Literal

from torch import nn

from effdl.errors import UserError

# What a step does to a model. Structure: layers get other shapes. Mask: weights become zero and stay so. Values:
# weights become members of a small set, which training moves. Conversion: the same, once and for all. Training: new
# weights only. A guide is no step but a part of the loss of trainings.
Kind = Literal["structure", "mask", "values", "conversion", "training", "guide"]
DOES = {
    "structure": "changes the shapes of layers",
    "mask": "sets weights to zero",
    "values": "shares or quantizes weights",
    "conversion": "converts the model for its runtime",
}


def effect(kind: Kind, check: Callable | None = None) -> Callable[[Callable], Callable]:
    """Decorator that says what a compression method does.

    Args:
        check: ``check(model, **keys)`` raises UserError if the method cannot work on the untrained model, before any
            training; it is given those of the method's keys that it has parameters for.
    """

    def mark(function: Callable) -> Callable:
        function.kind, function.check = kind, check
        return function

    return mark


def check_fits(function: Callable, model: nn.Module, node: dict) -> None:
    """Let a method look at the model before anything is trained.

    Args:
        node: the method's config.

    Raises:
        UserError: the method cannot work on this model.
    """
    if check := getattr(function, "check", None):
        check(model, **{key: node[key] for key in inspect.signature(check).parameters if key in node})


def kind_of(function: Callable) -> Kind | None:
    """What a method says it does; None for a user's own function that says nothing."""
    return getattr(function, "kind", None)


def check_order(steps: list[tuple[str, Kind | None]]) -> None:
    """Refuse a chain that cannot work.

    Args:
        steps: name and kind of the steps that are on, in order.

    Raises:
        UserError: names both steps and the reason.
    """
    for position, (name, kind) in enumerate(steps):
        for earlier, before in steps[:position]:
            if reason := conflict(before, kind):
                raise UserError(f"compression: {name} cannot come after {earlier}, {reason}")


def conflict(before: Kind | None, kind: Kind | None) -> str | None:
    """Why a step of one kind cannot follow one of another, or None."""
    if None in (before, kind) or "guide" in (before, kind):
        return None
    if before in ("values", "conversion") and kind in ("values", "conversion"):
        return "the weights are quantized already"
    if before == "conversion":
        return f"which {DOES[before]}: nothing may change or train it after that"
    if kind == "training":
        return "whose work a newly trained model would lose: it comes first"
    if (kind == "structure" and before in ("mask", "values")) or (kind == "mask" and before == "values"):
        return f"which {DOES[before]}: what {DOES[kind]} comes first"
    return None
