"""What a compression method is: the one contract between the methods and the run that applies them.

A **method** is a function from model to model::

    @compression_method("mask", check)
    def prune(model: nn.Module, trainer: Trainer, *, level: Fraction | None, ...) -> nn.Module:

- It may change the model in place, and returns it (or another one) in eval mode, on the same device. What later
  training must honour is a parametrization or a module of the model (see `effdl.nn`), so that it survives.
- It trains by `Trainer.fit` only, and draws from PyTorch's global random numbers: then it can be resumed.
- It measures nothing: the run does, after every step.
- Its keyword-only parameters are the keys of its config; their annotations say what is allowed. `level` says how much,
  and turns the method off where it is None.

A method of the kind ``distillation_loss`` is no step: it returns the loss of a training, for the model that is trained
(see `effdl.training.distillation_loss`).
"""

import inspect
from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

# What a step does to a model. Structure: layers get other shapes. Mask: weights become zero and stay so. Values:
# weights become members of a small set, which training moves. Conversion: the same, once and for all. Training: new
# weights only.
Kind = Literal["structure", "mask", "values", "conversion", "training", "distillation_loss"]


def compression_method(kind: Kind, check: Callable | None = None) -> Callable[[Callable], Callable]:
    """Decorator that says what a compression method does.

    Args:
        check: ``check(model, **keys)`` raises UserError if the method cannot work on the untrained model, before any
            training; it is given those of the method's keys that it has parameters for.

    Raises:
        TypeError: the kind is none, or the function does not take a model and a trainer.
    """
    if kind not in get_args(Kind):
        raise TypeError(f"compression_method({kind!r}): allowed is one of {', '.join(get_args(Kind))}")

    def mark(function: Callable) -> Callable:
        supplied = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        if len(supplied) != 2:
            raise TypeError(f"{function.__name__} is no compression method: it must take (model, trainer, *, keys)")
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
