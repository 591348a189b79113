"""The contract between compression methods and the run that applies them.

A **method** is a function from model to model::

    @compression_method("mask", check)
    def prune(model: nn.Module, trainer: Trainer, *, level: Fraction | None, ...) -> nn.Module:

- It may change the model in place. It returns this model (or another one) in eval mode, on the same device. State that
  later training must respect (masks, quantizers) is a parametrization or a module of the model (see `effdl.nn`).
- It trains only with `Trainer.fit` and draws only from PyTorch's global random generators, so that it can be resumed.
- It does not measure the model: the run does so after every step.
- Its keyword-only parameters are the keys of its config, and their annotations define the allowed values. `level` is
  the strength of the compression; None turns the method off.

A method of the kind ``distillation_loss`` is not a step: it takes the model that is going to be trained and returns a
loss for its training (see `effdl.training.distillation_loss`).
"""

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import nn

from effdl.config.instantiate import locate

# What a step does to a model. Structure: layers change their shapes. Mask: weights become zero and stay zero. Values:
# weights take values from a small set that training moves. Conversion: the same, but with values that no training may
# change afterwards. Training: only the weights change.
Kind = Literal["structure", "mask", "values", "conversion", "training", "distillation_loss"]


def compression_method(kind: Kind, check: Callable | None = None) -> Callable[[Callable], Callable]:
    """Decorator that declares a function to be a compression method.

    Args:
        kind: what the method does to a model.
        check: ``check(model, **keys)`` raises UserError if the method cannot work on the untrained model, before any
            training; it is given those of the method's keys that it has parameters for, and if it asks for them
            `input_shape` (C, H, W), `batch_size` (images of an update), `pruned` (whether an earlier step makes weights
            zero), and of a distillation loss `teacher`, a model.

    Raises:
        TypeError: there is no such kind, or the function does not take a model and a trainer.
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


def check_fits(function: Callable, model: nn.Module, node: dict, **run: Any) -> None:
    """Check, before any training, that a method, and what its config names besides, can be applied to a model.

    Args:
        node: the method's config.
        run: what checks may ask for besides the method's keys, see `compression_method`.

    Raises:
        UserError: the method cannot work on this model.
    """
    if check := getattr(function, "check", None):
        known = {**node, **run}
        check(model, **{key: known[key] for key in inspect.signature(check).parameters if key in known})
    for value in node.values():
        if isinstance(value, dict) and "_target_" in value:
            check_fits(locate(value["_target_"]), model, value, **run)


def kind_of(function: Callable) -> Kind | None:
    """The declared kind of a method; None for a function without the decorator."""
    return getattr(function, "kind", None)
